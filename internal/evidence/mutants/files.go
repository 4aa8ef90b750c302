package mutants

var ofFiles = list{tests{"./queue/filequeue", "-run File|Directory|Evicted ./lock"}, []Mutant{
	{
		name: "file: the ticket appears some time after the number was taken",
		in:   "queue/filequeue seqLock.join",
		old:  "own, err := l.createTicket(name, number, s)",
		new: `_ = l.lock.Unlock()
			_ = l.d.own
			for range 1000 {
			_ = l.d.current()
			}
			own, err := l.createTicket(name, number, s)`,
	},
	{
		name: "file: a damaged seq is removed, though it was ahead of the clock",
		in:   "queue/filequeue seqLock.cleanUp",
		old:  "number := max(l.number, d.highestNumber())",
		new:  "number := l.number",
	},
	{
		name: "file: numbers are not seeded from the clock",
		in:   "queue/filequeue nextNumber",
		old:  "n := max(last, highest, clockNumber())",
		new:  "n := max(last, highest)",
	},
	{
		name: "file: a seq that is behind the tickets is believed",
		in:   "queue/filequeue nextNumber",
		old:  "n := max(last, highest, clockNumber())",
		new:  "n := max(last, clockNumber())",
	},
	{
		name: "file: a seq that is no number is an error",
		in:   "queue/filequeue readSeq",
		old:  "if size != contentOffset+seqSize { return 0, false }",
		new: `if size != contentOffset+seqSize {
			panic("no number")
			}`,
	},
	{
		name: "file: seq is not looked at again after its flock was taken",
		in:   "queue/filequeue directory.verify",
		old:  "case isGone(err) || err == nil && !os.SameFile(locked, there):",
		new: `case isGone(err):
			return locked, nil
			case false:`,
	},
	{
		name: "file: links are followed",
		in:   "queue/filequeue openFlags",
		old:  "openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK",
		new:  "openFlags = syscall.O_NONBLOCK",
	},
	{
		name: "file: a hard link is believed",
		in:   "queue/filequeue directory.verify",
		old:  "case !there.Mode().IsRegular() || linkCount(there) > 1:",
		new:  "case !there.Mode().IsRegular():",
	},
	{
		name: "file: the owner does not lock its ticket",
		in:   "queue/filequeue directory.lockTicket",
		old:  "locked, err := tryFlock(t.lock) switch {",
		new: `locked, err := true, error(nil)
			switch {`,
	},
	{
		name: "file: heads are evicted by age",
		in:   "queue/filequeue seqLock.tooOld",
		old:  "if timeout <= 0 { return false, nil }",
		new: `if timeout <= 0 {
			timeout = 20 * time.Millisecond
			}`,
	},
	{
		name: "file: a heartbeat counts however late it comes",
		in:   "queue/filequeue directory.touch",
		old:  "if info.ModTime().Sub(own.seen) > own.stale {",
		new:  "if false {",
	},
	{
		name: "file: nobody is ever evicted",
		in:   "queue/filequeue seqLock.evict",
		old:  "if verdict == dead { err = l.bury(e, probe, dead) }",
		new: `if verdict == dead {
			if probe != nil {
			probe.Unlock()
			}
			verdict = alive
			}`,
	},
	{
		name: "file: a dead ticket that cannot be removed stays in line",
		in:   "queue/filequeue seqLock.bury",
		old:  "l.forget(e) return nil",
		new:  "if l.d.exists(e.name) { return errBusy }; l.forget(e); return nil",
	},
	{
		name: "file: a ticket that is gone counts as in line",
		in:   "queue/filequeue directory.place",
		old:  "if !in {",
		new:  "if false && !in {",
	},
	{
		name: "file: the next one in the process is not told",
		in:   "queue/filequeue directory.forget",
		old:  "d.line[i].own.bell.ring(queue.WakeHint)",
		new:  "",
	},
	{
		name: "file: nobody looks whether a process has died with all its tickets",
		in:   "queue/filequeue directory.ring",
		old:  "own.bell.ring(queue.WakeHint)",
		new:  "_, _ = own, queue.WakeHint",
	},
	{
		name: "file: the next of this process is not looked after when the first has left",
		in:   "queue/filequeue directory.drop",
		old:  "d.setAlarm()",
		new:  "",
	},
	{
		name: "file: an older seq that was put back is believed",
		in:   "queue/filequeue directory.lockSeq",
		old:  "&& !l.changed.After(d.seenAt)",
		new:  "",
	},
	{
		name:  "file: a shared ticket that never got its mode counts as alive",
		in:    "queue/filequeue seqLock.unfinished",
		old:   "return err == nil && info.Mode() == unfinished",
		new:   "return err == nil && info.Mode() == unfinished && false",
		tests: tests{"-run F21 ./internal/faulttest/file"},
	},
	{
		name: "file: the new head does not tell the next in line",
		in:   "queue/filequeue directory.announce",
		old:  "if d.foreignNext() {",
		new:  "if false {",
	},
	{
		name: "file: a release does not look after the next in line",
		in:   "queue/filequeue directory.tidy",
		old:  "if err := l.evictHeads(); err != nil || d.head() != nil { return err }",
		new: `if true {
			return nil
			}`,
	},
	{
		name: "file: foreign names are tickets",
		in:   "queue/filequeue parseTicketName",
		old:  "if len(name) < shortest || name[numberDigits] != '.' {",
		new: `if len(name) > numberDigits {
			n, _ := parseNumber(name[:numberDigits])
			return ticketName{number: n}, true
			}
			if len(name) < shortest || name[numberDigits] != '.' {`,
	},
	{
		name: "file: Unlock keeps the flock of a ticket it cannot remove",
		in:   "queue/filequeue ownTicket.close",
		old:  "dropFlock(t.lock)",
		new:  "abandoned.locks = append(abandoned.locks, t.lock)",
	},
	{
		name: "file: who gives up joining does not clean up",
		in:   "queue/filequeue directory.endJoining",
		old:  "case last && d.isEmptyLine():",
		new:  "case false && last:",
	},
	{
		name: "file: a waiter that gives up hands over what it has not got",
		in:   "queue/filequeue directory.removeOwn",
		old:  "if i == 0 && next != nil {",
		new:  "if next != nil {",
	},
	{
		name: "file: the next is granted though it is not there",
		in:   "queue/filequeue directory.removeOwn",
		old:  "handOver = in && err == nil",
		new:  "handOver = in || err == nil",
	},
}}
