package completions_test

import (
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

func TestMain(m *testing.M) { program.Main(m) }
