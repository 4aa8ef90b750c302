package report

import (
	"fmt"
	"math"
	"strings"
)

// number writes a value with three digits that count, and a comma between
// thousands. What is whole is written so.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return threeDigits(v)
}

func threeDigits(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a == 0:
		return "0"
	case a < 0.1:
		return fmt.Sprintf("%.2g", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return withCommas(fmt.Sprintf("%.0f", v))
}

func withCommas(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), ",")
}

// duration writes microseconds in the unit that fits.
func duration(micros float64) string {
	switch {
	case math.IsNaN(micros):
		return "–"
	case micros < 1000:
		return threeDigits(micros) + " µs"
	case micros < 1e6:
		return threeDigits(micros/1000) + " ms"
	}
	return threeDigits(micros/1e6) + " s"
}

// times writes a ratio.
func times(ratio float64) string {
	if math.IsNaN(ratio) {
		return "–"
	}
	return threeDigits(ratio) + " ×"
}
