package relay

// timers is a heap of links by when they are due, on the loop's clock. A link is in it at
// most once. Times that move into the future are not moved here: the link is taken out
// when it was due first, and then put back.
type timers []*link

// next returns when the first link is due, 0 if there is none.
func (t timers) next() int64 {
	if len(t) == 0 {
		return 0
	}
	return t[0].due
}

// due takes the first link out if it is due.
func (t *timers) due(now int64) *link {
	if len(*t) == 0 || (*t)[0].due > now {
		return nil
	}
	k := (*t)[0]
	t.drop(k)
	return k
}

// set puts a link in, or moves it.
func (t *timers) set(k *link, at int64) {
	if k.due == 0 {
		k.at = int32(len(*t))
		*t = append(*t, k)
	}
	k.due = at
	t.down(t.up(int(k.at)))
}

// drop takes a link out, if it is in.
func (t *timers) drop(k *link) {
	if k.due == 0 {
		return
	}
	k.due = 0
	last := len(*t) - 1
	i := int(k.at)
	t.swap(i, last)
	(*t)[last] = nil
	*t = (*t)[:last]
	if i < last {
		t.down(t.up(i))
	}
}

func (t timers) swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].at, t[j].at = int32(i), int32(j)
}

func (t timers) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if t[parent].due <= t[i].due {
			break
		}
		t.swap(i, parent)
		i = parent
	}
	return i
}

func (t timers) down(i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(t) && t[child].due < t[least].due {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}
