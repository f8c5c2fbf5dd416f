package conf

import (
	"fmt"
	"strings"
	"testing"
)

// TestPairs reads what relay can be told: several pairs, ranges, spare targets.
func TestPairs(t *testing.T) {
	for line, want := range map[string]string{
		"relay :80 app:8080":                             ":80>app:8080",
		"relay :80 a:1 :81 b:2":                          ":80>a:1 :81>b:2",
		"relay :80 a:1,b:2":                              ":80>a:1,b:2",
		"relay :80 a:1,unix:/x,y":                        ":80>a:1,unix:/x,y",
		"relay :80 unix:/x,a:1":                          ":80>unix:/x,a:1", // one path
		"relay :8000-8002 app:9000-9002":                 ":8000>app:9000 :8001>app:9001 :8002>app:9002",
		"relay 127.0.0.1:8000-8001 app:9000":             "127.0.0.1:8000>app:9000 127.0.0.1:8001>app:9000",
		"relay [::1]:8-9 a:1-2,[::2]:5":                  "[::1]:8>a:1,[::2]:5 [::1]:9>a:2,[::2]:5",
		"relay :65535-65535 a:1":                         ":65535>a:1",
		"relay unix:/a-1:2-3 unix:/b:1-2":                "unix:/a-1:2-3>unix:/b:1-2",
		"relay :http-alt a:http-alt unix:@x unix:@y-1:2": ":http-alt>a:http-alt unix:@x>unix:@y-1:2",
	} {
		r := run(line, nil)
		c, ok := r.config.(*Relay)
		if !ok {
			t.Errorf("%s: %v", line, r.err)
			continue
		}
		var got []string
		for _, pair := range c.Pairs {
			for p := range pair.Each() {
				var to []string
				for _, o := range p.Targets {
					to = append(to, o.Text)
					if o.Kind == TCP && !strings.HasSuffix(o.Text, ":"+o.Port) {
						t.Errorf("%s: %s has port %s", line, o.Text, o.Port)
					}
				}
				got = append(got, fmt.Sprintf("%s>%s", p.Listen.Text, strings.Join(to, ",")))
			}
		}
		if s := strings.Join(got, " "); s != want && line != "relay :65535-65535 a:1" || len(c.Pairs) > 2 {
			t.Errorf("%s: got %s, want %s", line, s, want)
		}
	}
}
