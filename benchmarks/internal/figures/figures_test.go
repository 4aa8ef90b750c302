package figures

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var d []time.Duration
	for i := 100; i >= 1; i-- {
		d = append(d, time.Duration(i))
	}
	sorted := NewDurations(d)
	for p, want := range map[float64]time.Duration{0: 1, 1: 1, 50: 50, 99: 99, 99.5: 100, 100: 100} {
		if got := sorted.Percentile(p); got != want {
			t.Errorf("percentile %v of 1 to 100 = %d, want %d", p, got, want)
		}
	}
	if got := NewDurations(nil).Percentile(99); got != 0 {
		t.Errorf("a percentile of nothing = %v, want 0", got)
	}
}

func TestMedian(t *testing.T) {
	if got := Median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median of 9, 1, 5 = %v, want 5", got)
	}
	if got := Median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("median of 4, 1, 2, 9 = %v, want 3", got)
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

func TestJain(t *testing.T) {
	for _, test := range []struct {
		shares []float64
		want   float64
	}{
		{[]float64{7, 7, 7, 7}, 1},
		{[]float64{8, 0, 0, 0}, 0.25},
		{[]float64{3, 1}, 0.8},
		{nil, 0},
	} {
		if got := Jain(test.shares); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("Jain(%v) = %v, want %v", test.shares, got, test.want)
		}
	}
}

// line is n waiters that come and are served one after the other. Each arrives long
// before it is served.
func line(n int) []Sample {
	samples := make([]Sample, n)
	for i := range samples {
		came, served := int64(10*i), int64(1000+10*i)
		samples[i] = Sample{Waiter: i, Called: came, Arrived: came + 5, Acquired: served, Unlocking: served + 3, Unlocked: served + 4}
	}
	return samples
}

// serveLast makes waiter i the last to be served.
func serveLast(samples []Sample, i int) {
	last := samples[len(samples)-1].Acquired
	samples[i].Acquired, samples[i].Unlocking, samples[i].Unlocked = last+10, last+13, last+14
}

func TestOvertakesOfAFairLine(t *testing.T) {
	if got := CountOvertakes(line(50)); got != (Overtakes{}) {
		t.Errorf("a line in order has %+v, want no overtakes", got)
	}
}

func TestAPlantedOvertakeIsFound(t *testing.T) {
	samples := line(50)
	serveLast(samples, 40) // 41 to 49 came later and are served before it
	if got, want := CountOvertakes(samples), (Overtakes{Pairs: 9, Grants: 9}); got != want {
		t.Errorf("with one who was passed by nine: %+v, want %+v", got, want)
	}
}

func TestWhoComesAtTheSameTimeDoesNotOvertake(t *testing.T) {
	samples := line(2)
	samples[1].Called = samples[0].Arrived - 1 // called before the first had arrived
	serveLast(samples, 0)
	if got := CountOvertakes(samples); got != (Overtakes{}) {
		t.Errorf("two whose calls overlap: %+v, want no overtakes", got)
	}
}

func TestAnArrivalThatIsNotSeenCountsLater(t *testing.T) {
	samples := line(2)
	serveLast(samples, 0)
	samples[0].Arrived = 0 // the second called 10 ns later
	if got := CountOvertakes(samples); got != (Overtakes{}) {
		t.Errorf("the first had not surely arrived: %+v, want no overtakes", got)
	}
	later := int64(2 * Unseen)
	samples[1].Called += later
	samples[1].Acquired += later
	samples[0].Acquired += 2 * later
	if got, want := CountOvertakes(samples), (Overtakes{Pairs: 1, Grants: 1}); got != want {
		t.Errorf("the first had surely arrived: %+v, want %+v", got, want)
	}
}

// TestOvertakesAgreeWithCountingPairs compares with the definition, tried on
// every pair.
func TestOvertakesAgreeWithCountingPairs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		samples := make([]Sample, 60)
		for i, acquired := range random.Perm(len(samples)) {
			called := random.Int64N(40) // many at the same time
			samples[i] = Sample{Waiter: i, Called: called, Arrived: called + random.Int64N(5), Acquired: 100 + int64(acquired)}
		}
		for _, count := range []struct {
			came func(Sample) int64
			got  Overtakes
			by   []int
		}{
			{Sample.arrived, CountOvertakes(samples), OvertakenBy(samples)},
			{called, CountOvertakesFromCall(samples), OvertakenByFromCall(samples)},
		} {
			want, by := pairs(samples, count.came)
			if count.got != want || !slices.Equal(count.by, by) {
				t.Fatalf("%+v and overtaken by %v, want %+v and %v", count.got, count.by, want, by)
			}
		}
	}
}

// pairs counts overtakes by trying every pair, and by how many each was
// overtaken.
func pairs(samples []Sample, came func(Sample) int64) (o Overtakes, by []int) {
	by = make([]int, len(samples))
	for _, b := range samples {
		overtook := false
		for i, a := range samples {
			if came(a) < b.Called && b.Acquired < a.Acquired {
				by[i]++
				o.Pairs++
				overtook = true
			}
		}
		if overtook {
			o.Grants++
		}
	}
	return o, by
}

// Two may hold. The second comes first out of Acquire, which is no overtake as long
// as there is a permit for the first; then a third has it.
func TestOvertakesOfMany(t *testing.T) {
	samples := []Sample{
		{Called: 1, Arrived: 2, Acquired: 20, Unlocking: 30},
		{Called: 3, Arrived: 4, Acquired: 10, Unlocking: 40},
	}
	if got := CountOvertakesOfMany(samples, 2); got != (Overtakes{}) {
		t.Errorf("with a permit for each: %+v, want no overtakes", got)
	}
	samples = append(samples, Sample{Called: 5, Arrived: 6, Acquired: 15, Unlocking: 20})
	if got, want := CountOvertakesOfMany(samples, 2), (Overtakes{Pairs: 1, Grants: 1}); got != want {
		t.Errorf("with a third that has the permit of the first: %+v, want %+v", got, want)
	}
	if got, want := CountOvertakesOfMany(samples, 1), CountOvertakes(samples); got != want {
		t.Errorf("of a lock: %+v, want %+v", got, want)
	}
}

func TestMostHolders(t *testing.T) {
	samples := []Sample{{Acquired: 0, Unlocking: 10}, {Acquired: 5, Unlocking: 20}, {Acquired: 10, Unlocking: 12}, {Acquired: 19, Unlocking: 30}}
	if got := MostHolders(samples, 0); got != 2 {
		t.Errorf("%d held at once, want 2", got)
	}
	if err := CheckExclusion(samples, 2, 0); err != nil {
		t.Errorf("two may hold: %v", err)
	}
	samples[3].Acquired = 11
	if err := CheckExclusion(samples, 2, 0); err == nil {
		t.Error("three held at once, two may, and it was not noticed")
	}
	if got := MostHolders(samples, 1); got != 2 {
		t.Errorf("with clocks that may be 1 ns apart, %d held at once, want 2", got)
	}
}

func TestHandOffs(t *testing.T) {
	samples := line(5)
	all, waited := HandOffs(samples)
	if len(all) != 4 || len(waited) != 4 || all.Median() != 7 {
		t.Errorf("hand-offs of a line: %v, and %v to those who waited; want four of 7 ns", all, waited)
	}
	samples[2].Called = samples[1].Unlocking // takes what was just unlocked
	if all, waited = HandOffs(samples); len(all) != 4 || len(waited) != 3 {
		t.Errorf("hand-offs when one had not waited: %v, and %v to those who waited; want four and three", all, waited)
	}
}

func TestExclusion(t *testing.T) {
	samples := line(5)
	if err := CheckExclusion(samples, 1, 0); err != nil {
		t.Errorf("a line of five: %v", err)
	}
	samples[3].Acquired -= 9 // two ns before the one before it unlocks
	if err := CheckExclusion(samples, 1, 0); err == nil {
		t.Error("two had the lock at once, and nobody noticed")
	}
	if err := CheckExclusion(samples, 1, 2); err != nil {
		t.Errorf("within the tolerance: %v", err)
	}
}
