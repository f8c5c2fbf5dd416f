package main

import (
	"os"
	"slices"
	"testing"
)

func TestCompletionOffers(t *testing.T) {
	tests := []struct {
		line string
		want []string // each of these is offered
		not  []string // none of these is
	}{
		{"zcp ", []string{"send", "recv", "cat", "relay", "completion", "help"}, []string{"big.iso", "box.example:"}},
		{"zcp re", []string{"recv", "relay"}, nil},
		{"zcp send ", []string{"big.iso", "app.sock"}, []string{"box.example:", "recv"}},
		{"zcp send big.iso bo", []string{"box.example:"}, nil},
		{"zcp send -q --rate-limit 1M big.iso bo", []string{"box.example:"}, nil},
		{"zcp send -qL 1M big", []string{"big.iso"}, nil},
		{"zcp send big.iso unix:ap", []string{"unix:app.sock"}, nil},
		{"zcp recv bo", []string{"box.example:"}, nil},
		{"zcp recv ", []string{"unix:", "fd:", "sd:"}, []string{"big.iso"}},
		{"zcp recv :9000 bi", []string{"big.iso"}, nil},
		{"zcp recv -w 5 :9000 bi", []string{"big.iso"}, nil},
		{"zcp cat big.iso a", []string{"app.sock"}, nil},
		{"zcp cat -o bi", []string{"big.iso"}, nil},
		{"zcp cat --output=bi", []string{"big.iso"}, nil},
		{"zcp cat -s @bi", []string{"@big.iso"}, nil},
		{"zcp relay ", []string{"-", "unix:", "sd:"}, []string{"big.iso", "box.example:"}},
		{"zcp relay :80 bo", []string{"box.example:"}, nil},
		{"zcp relay --stats ", []string{":9100", "unix:"}, nil},
		{"zcp send -L ", []string{"1M", "10M", "1G"}, []string{"big.iso"}},
		{"zcp send --rate-limit=1", []string{"1M", "10M", "1G"}, []string{"big.iso"}},
		{"zcp recv -qm ", []string{"1", "100"}, nil},
		{"zcp completion ", []string{"bash", "zsh", "fish"}, []string{"big.iso"}},
		{"zcp help re", []string{"recv", "relay"}, nil},
	}
	for _, sh := range shellsHere(t) {
		t.Run(sh.name, func(t *testing.T) {
			var lines []string
			for _, tt := range tests {
				lines = append(lines, tt.line)
			}
			offers := sh.offers(t, newPlace(t), lines)
			for i, tt := range tests {
				got := offers[i]
				for _, want := range tt.want {
					if !slices.Contains(got, want) {
						t.Errorf("%q: %q is not offered in %q", tt.line, want, got)
					}
				}
				for _, not := range tt.not {
					if slices.Contains(got, not) {
						t.Errorf("%q: %q is offered", tt.line, not)
					}
				}
			}
		})
	}
}

// Completion looks at the words; it must never run them, as scripts that eval the line
// do.
func TestCompletionRunsNothing(t *testing.T) {
	for _, sh := range shellsHere(t) {
		t.Run(sh.name, func(t *testing.T) {
			at := newPlace(t)
			before := listDir(t, at.dir)
			sh.offers(t, at, []string{"zcp send $(touch pwned) ", "zcp cat `touch pwned` b", "zcp send f ;touch pwned;:"})
			if after := listDir(t, at.dir); !slices.Equal(before, after) {
				t.Errorf("pressing TAB changed the folder from %q to %q", before, after)
			}
		})
	}
}

func listDir(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
