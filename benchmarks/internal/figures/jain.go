package figures

// Jain is the fairness index of Jain, Chiu and Hawe over what each got: 1 when
// all got the same, 1/n when one of n got everything. Of nothing it is 0.
func Jain(shares []float64) float64 {
	var sum, squares float64
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// ForJain is how often each must have got something on average: the index of fewer says
// which were in line when the time was up.
const ForJain = 10

// Shares is how often each of the waiters 0 to n-1 got the lock.
func Shares(samples []Sample, n int) []float64 {
	shares := make([]float64, n)
	for _, s := range samples {
		shares[s.Waiter]++
	}
	return shares
}
