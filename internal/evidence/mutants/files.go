package mutants

const (
	ofFile       = "queue/filequeue "
	lockedFile   = "queue/filequeue/internal/lockedfile "
	fileSeqCases = "-run TestF38Seq|TestMounted ./internal/faulttest/file"
	fileCases    = "-run ^Test(F|K)[0-9] ./internal/faulttest/file"
)

var ofTogether = tests{"./queue/filequeue -run (RegisterTogether|Touched)"}

// ofAway are the tests in which seq, or the directory, is away for a while.
var ofAway = tests{"./queue/filequeue -run K31"}

var ofDoor = tests{"./queue/filequeue -run FileDoor", "-run K50(In|Stopped) ./internal/faulttest/contention"}

var ofFiles = list{tests{"./queue/filequeue/...", "-run File|Directory|Evicted ./lock", fileCases}, []Mutant{
	// The number, and the ticket.
	{
		name: "file: a seq that was replaced after it was locked is not noticed",
		in:   ofFile + "seqLock.join",
		old:  "untouched := err == nil && l.isUntouched()",
		new:  "untouched := err == nil",
	},
	{
		name: "file: a seq that was changed in place is not noticed",
		in:   ofFile + "seqLock.isUntouched",
		old:  "&& lockedfile.ChangeTime(info).Equal(l.changed)",
		new:  "",
	},
	{
		name: "file: a ticket that is withdrawn stays",
		in:   ofFile + "ticket.withdraw",
		old:  "_ = t.dir.Remove(t.name)",
		new:  "",
	},
	{
		name: "file: a damaged seq is removed, though it was ahead of the clock",
		in:   ofFile + "seqLock.removeAll",
		old:  "number := max(l.content.number, l.line.highest)",
		new:  "number := min(l.content.number, max(l.content.number, l.line.highest))",
	},
	{
		name: "file: a seq that is ahead of the clock is removed",
		in:   ofFile + "seqLock.removeAll",
		old:  "number >= wallNumber()",
		new:  "number < 0 && number >= wallNumber()",
	},
	{
		name: "file: numbers are not seeded from the clock",
		in:   ofFile + "nextNumber",
		old:  "max(last, highest, clockNumber())",
		new:  "max(last, highest)",
	},
	{
		name: "file: a seq that is behind the tickets is believed",
		in:   ofFile + "nextNumber",
		old:  "max(last, highest, clockNumber())",
		new:  "max(last, clockNumber())",
	},
	{
		name: "file: the numbers have no end",
		in:   ofFile + "nextNumber",
		old:  "if n > maxNumber-count {",
		new:  "if n < 0 {",
	},
	{
		name: "file: a seq that is no number is an error",
		in:   ofFile + "readSeq",
		old:  "if size < numberLine || size > longestSeq { return seqContent{}, false, nil }",
		new:  "if size < numberLine || size > longestSeq { panic(\"no number\") }",
	},
	{
		name:  "file: a seq that cannot be read is taken for a damaged one",
		in:    ofFile + "readSeq",
		old:   "err != nil && err != io.EOF",
		new:   "false",
		tests: tests{fileSeqCases},
	},
	{
		name:  "file: nothing can be created in a directory, which is waited for",
		in:    ofFile + "seq.open",
		old:   "lockedfile.IsGone(err) && !dir.IsCurrent()",
		new:   "lockedfile.IsGone(err)",
		tests: tests{fileSeqCases},
	},
	{
		name: "file: a file that is too long for a seq is overwritten",
		in:   ofFile + "seqLock.read",
		old:  "if l.size > lockedfile.ContentOffset+longestSeq {",
		new:  "if l.size < 0 {",
	},
	{
		name: "file: seq is not looked at again after its flock was taken",
		in:   ofFile + "seq.tryLock",
		old:  "info, err := q.file.Verify(dir)",
		new:  "info, err := q.file.Stat()",
	},
	{
		name: "file: an older seq that was put back is believed",
		in:   ofFile + "seqLock.read",
		old:  "&& l.changed.Equal(q.seenAt)",
		new:  "",
	},
	{
		name: "file: change times are believed where they tell nothing apart",
		in:   lockedFile + "IsFine",
		old:  "return changed.Nanosecond()%int(time.Millisecond) != 0 && changed.After(time.Unix(int64(ticks.Sec), int64(ticks.Nsec)))",
		new:  "return !changed.IsZero()",
	},
	{
		name: "file: the directory is not listed though seq is not as it was left",
		in:   ofFile + "seqLock.takeNumbers",
		old:  "if !same || !changed(l.dir).Equal(l.seq.before) {",
		new:  "if same && !changed(l.dir).Equal(l.seq.before) {",
	},
	{
		name: "file: a seq with another name is written to",
		in:   ofFile + "seqLock.read",
		old:  "lockedfile.LinkCount(info) != 1",
		new:  "lockedfile.LinkCount(info) < 1",
	},
	{
		name: "file: the owner does not lock its ticket",
		in:   lockedFile + "Lock.lock",
		old:  "locked, err := l.flock.TryLock()",
		new:  "locked, err := l.flock.TryLock(); l.flock.Unlock(); l.flock.Stat()",
	},
	{
		name: "file: a new file that another program has removed is a directory that was removed",
		in:   lockedFile + "Dir.lost",
		old:  "IsGone(err) && d.IsCurrent()",
		new:  "false && IsGone(err)",
	},

	// The door.
	{
		name:  "file: a call passes those that stand at the door",
		in:    ofFile + "door.isFirst",
		old:   "front, ok := dir.FirstPlace(from, max(o.called, o.place))",
		new:   "front, ok := dir.FirstPlace(from, from)",
		tests: ofDoor,
	},
	{
		name:  "file: a process has no place between two of its calls",
		in:    ofFile + "door.leave",
		old:   "o.move(dir, next.called)",
		new:   "o.move(dir, 0)",
		tests: ofDoor,
	},
	{
		name:  "file: a call stands at the door where it came in, not where it came",
		in:    ofFile + "door.leave",
		old:   "next := o.waiting[0]",
		new:   "next := o.waiting[0]; next.called = time.Now().UnixNano()",
		tests: ofDoor,
	},
	{
		name:  "file: calls that register together get the same number",
		in:    ofFile + "seqLock.join",
		old:   "createTicket(l.dir, number+int64(i), l.s)",
		new:   "createTicket(l.dir, number+0*int64(i), l.s)",
		tests: ofTogether,
	},
	{
		name:  "file: seq has only the first number of calls that register together",
		in:    ofFile + "seqLock.takeNumbers",
		old:   "c.number = number + count - 1",
		new:   "c.number = number",
		tests: ofTogether,
	},
	{
		name:  "file: a call registers for those that came after one of another process",
		in:    ofFile + "door.companions",
		old:   "dir.FirstPlace(0, o.waiting[n-1].called); ok {",
		new:   "dir.FirstPlace(0, o.waiting[n-1].called); false && ok {",
		tests: ofTogether,
	},
	{
		name:  "file: a call registers for those with other settings",
		in:    ofFile + "registration.isFor",
		old:   "r != nil && r.s == s",
		new:   "r != nil",
		tests: ofTogether,
	},
	{
		name:  "file: a call registers for one whose ctx has ended",
		in:    ofFile + "door.enter",
		old:   "if o.withdraw(v) { return waitError(ctx) }",
		new:   "return waitError(ctx)",
		tests: ofTogether,
	},
	{
		name:  "file: those that register together leave their tickets when seq was touched",
		in:    ofFile + "seqLock.join",
		old:   "r.taken.withdraw()",
		new:   "",
		tests: ofTogether,
	},
	{
		name:  "file: a process that is stopped at the door holds up the others",
		in:    ofFile + "longestStill",
		old:   "100 * time.Millisecond",
		new:   "100 * time.Hour",
		tests: ofDoor,
	},
	{
		name:  "file: a process that goes on at the door is passed all the same",
		in:    ofFile + "door.stand",
		old:   "o.move(dir, o.place+1)",
		new:   "o.move(dir, o.place)",
		tests: ofDoor,
	},
	{
		name: "file: a call that was slower to make the directory takes the tickets of others",
		in:   ofFile + "withDirectoryOnce",
		old:  "err := d.open(s, create, patient); err != nil {",
		new:  "err := d.open(s, create, patient); err != nil { if errors.Is(err, errDirectoryGone) { time.Sleep(time.Millisecond); d.invalidate() }",
	},

	// Which tickets are alive.
	{
		name: "file: heads are evicted by age",
		in:   ofFile + "call.isTooOld",
		old:  "stale := e.stale()",
		new:  "stale := max(e.stale(), 2*leastStaleTimeout)",
	},
	{
		name: "file: a directory that is closed stays locked for a forked child",
		in:   lockedFile + "Dir.Close",
		old:  "d.Leave()",
		new:  "",
	},
	{
		name: "file: a ticket is made whose path is too long for others",
		in:   lockedFile + "NewFile.createStaged",
		old:  "err != nil && !IsGone(err) && d.IsCurrent() {",
		new:  "false && !IsGone(err) && d.IsCurrent() {",
	},
	{
		name: "file: a heartbeat counts however late it comes",
		in:   ofFile + "ticket.touch",
		old:  "> t.terms.stale {",
		new:  "> t.terms.stale && false {",
	},
	{
		name: "file: a heartbeat that comes too late keeps the ticket in line",
		in:   ofFile + "knownLine.refresh",
		old:  "if errors.Is(err, queue.ErrNotQueued) {",
		new:  "if false && errors.Is(err, queue.ErrNotQueued) {",
	},
	{
		name: "file: the announcement is a sign of life",
		in:   ofFile + "knownLine.announce",
		old:  "if t.terms.stale > 0 {",
		new:  "if t.terms.stale > 0 && false {",
	},
	{
		name: "file: nothing is ever evicted",
		in:   ofFile + "call.examine",
		old:  "if err != nil || !locked {",
		new:  "if err != nil || locked || !locked {",
	},
	{
		name: "file: a dead ticket that cannot be opened for writing is alive",
		in:   lockedFile + "probeFlag",
		old:  "os.O_RDONLY",
		new:  "os.O_RDWR",
	},
	{
		name: "file: a dead ticket that cannot be removed stays in line",
		in:   ofFile + "call.removeGone",
		old:  "c.tell(c.line.unremoved(i))",
		new:  "_ = i",
	},
	{
		name: "file: a stale ticket of another user's ends a wait",
		in:   ofFile + "call.evict",
		old:  "errors.Is(err, fs.ErrPermission)",
		new:  "false",
	},
	{
		name: "file: a stale ticket that another user's process may not remove is taken for removed",
		in:   ofFile + "call.evict",
		old:  "return false, nil // another user's: it stays in line, because its owner lives",
		new:  "return true, nil",
	},
	{
		name: "file: a user's file that is no seq is removed",
		in:   ofFile + "seqLock.removeAll",
		old:  "!l.valid && l.content.number == 0 && l.line.highest == 0",
		new:  "false",
	},
	{
		name: "file: a ticket that cannot be removed is forgotten",
		in:   ofFile + "line.stays",
		old:  "l.unremovable[name] = struct{}{}",
		new:  "",
	},
	{
		name: "file: an own ticket that cannot be removed is not noted",
		in:   ofFile + "knownLine.removeLocal",
		old:  "k.line.stays(t.name)",
		new:  "",
	},
	{
		name: "file: what is open is not used by a waiter that has changed its user",
		in:   ofFile + "call.examine",
		old:  "(isExhausted(err) || errors.Is(err, fs.ErrPermission))",
		new:  "isExhausted(err)",
	},
	{
		name: "file: a lock of another user at the hidden path is waited for",
		in:   "queue/filequeue/internal/lockedfile Home.openHidden",
		old:  "case left && isPassing(err) && h.Mode&0o077 == 0 && !isOwn(d.info):",
		new:  "case false:",
	},
	{
		name: "file: a file that was created and could not be locked stays",
		in:   "queue/filequeue/internal/lockedfile NewFile.removeCreated",
		old:  "if IsGone(d.root.Remove(n.Name))",
		new:  "if !errors.Is(err, fs.ErrExist) && IsGone(d.root.Remove(n.Name))",
	},
	{
		name: "file: a try believes a line that was moved away",
		in:   ofFile + "seqLock.isFree",
		old:  "if n >= l.s.slots() && !l.dir.IsCurrent() {",
		new:  "if false {",
	},
	{
		name: "file: a ticket that is gone counts as in line",
		in:   ofFile + "knownLine.place",
		old:  "if !in {",
		new:  "if false && !in {",
	},
	{
		name: "file: a look that cannot judge says nothing",
		in:   ofFile + "call.position",
		old:  "if err == nil { err = checkWritable(c.dir, t.Member) } if err != nil { return queue.Place{}, err }",
		new:  "_ = err",
	},
	{
		name: "file: one failed fstat is the loss of a ticket",
		in:   lockedFile + "Lock.Held",
		old:  "return !errors.Is(err, syscall.EBADF)",
		new:  "return errors.Is(err, nil) || false && errors.Is(err, syscall.EBADF)",
	},

	// Making and removing.
	{
		name: "file: a directory is made under another name each time",
		in:   lockedFile + "hiddenPath",
		old:  "id := uuid.NewSHA1(uuid.Nil, []byte(filepath.Base(path)))",
		new:  "id := uuid.New()",
	},
	{
		name: "file: a FIFO at the path is opened",
		in:   lockedFile + "asDirectory",
		old:  `"/"`,
		new:  `""`,
	},
	{
		name: "file: seq is removed though this user cannot remove the directory",
		in:   lockedFile + "Home.Remove",
		old:  "err := RemoveDirectory(at); !errors.Is(err, fs.ErrExist)",
		new:  "false",
	},
	{
		name: "file: a seq that is made anew is shared as the call is that cleans up",
		in:   ofFile + "seqLock.keep",
		old:  "s.mode = l.rights",
		new:  "",
	},
	{
		name:  "file: a process that has come as the directory was removed takes it for one that was there",
		in:    ofFile + "seqLock.keep",
		old:   "info, err := c.await(ctx, longestLook, false)",
		new:   "err := l.seq.create(c.dir, &s, l.content); if err != nil || ctx == nil { return }; info, err := l.seq.file.Stat()",
		tests: tests{"-run K58ComesAsTheOtherCleansUpInPlace ./internal/faulttest/file"},
	},
	{
		name: "file: seq is removed while the directory is at its path",
		in:   lockedFile + "Home.hide",
		old:  "case !d.isAt(hidden):",
		new:  "case move(hidden, h.Path) == nil: return h.Path, nil\ncase !d.isAt(hidden):",
	},
	{
		name: "file: what is at the hidden path is in the way where a directory has no flock",
		in:   lockedFile + "Home.openHidden",
		old:  "err = errOccupied // where there is no flock",
		new:  "// where there is no flock",
	},
	{
		name: "file: what another user has left, and cannot be removed, is tried for ever",
		in:   lockedFile + "Home.makeHidden",
		old:  "err := h.discard(d); err != nil && !errors.Is(err, fs.ErrExist)",
		new:  "_ = h.discard(d); false",
	},
	{
		name: "file: a ticket that cannot be examined is missing in a listing",
		in:   lockedFile + "Dir.List",
		old:  "case err != nil: return c, err",
		new:  "case err != nil: c.Others = true",
	},

	// Being told.
	{
		name: "file: the next one in the process is not told",
		in:   ofFile + "knownLine.tell",
		old:  "for _, e := range n.owners { e.ticket.waiter.wake(queue.WakeHint) }",
		new:  "",
	},
	{
		name: "file: a waiter is not told that what it watches has left",
		in:   ofFile + "knownLine.tell",
		old:  "for _, e := range n.hints { e.ticket.waiter.wake(queue.WakeHint) }",
		new:  "",
	},
	{
		name: "file: nothing looks whether a process has died with all its tickets",
		in:   ofFile + "knownLine.recheckOwners",
		old:  "if e.seemsGone(k.dir) {",
		new:  "if false && e.seemsGone(k.dir) {",
	},
	{
		name:  "file: the recheck is ten times slower",
		in:    ofFile + "recheckEvery",
		old:   "30 * time.Millisecond",
		new:   "300 * time.Millisecond",
		tests: tests{"-run RecheckIsSoon ./queue/filequeue"},
	},
	{
		name: "file: the next of this process is not looked after when the first has left",
		in:   ofFile + "knownLine.tell",
		old:  "k.setRecheck()",
		new:  "",
	},
	{
		name: "file: every waiter of a process looks by itself",
		in:   ofFile + "knownLine.isLookedFor",
		old:  "first != nil && first.number < t.number",
		new:  "first != nil && first.number < 0",
	},
	{
		name: "file: a release does not look after the next in line",
		in:   ofFile + "call.release",
		old:  "if check && !lockedfile.CloseBeforeRemove {",
		new:  "if false && check {",
	},
	{
		name: "file: a ticket that leaves in the middle tells the first",
		in:   ofFile + "line.left",
		old:  "e != nil && slots-1 >= i {",
		new:  "e != nil {",
	},
	{
		name: "file: the next is granted though it is not there",
		in:   ofFile + "knownLine.grant",
		old:  "!in || err != nil",
		new:  "!in && err != nil",
	},
	{
		name: "file: an overflow of inotify is not passed on",
		in:   "queue/filequeue/internal/notify notifier.read",
		old:  "n.callAll()",
		new:  "",
	},

	// Leaving nothing.
	{
		name: "file: foreign names are tickets",
		in:   ofFile + "parseTicketName",
		old:  "",
		new:  "if len(name) > numberDigits { n, _ := parseNumber(name[:numberDigits]); return ticketName{number: n}, true }; ",
	},
	{
		name: "file: Unlock keeps the flock of a ticket",
		in:   lockedFile + "Lock.Drop",
		old:  "dropFlock(l.flock)",
		new:  "abandoned.locks = append(abandoned.locks, l.flock)",
	},
	{
		name: "file: nothing is removed when the last has left",
		in:   ofFile + "directory.close",
		old:  "if d.cleanUp.Load() && !d.gone {",
		new:  "if false {",
	},
	{
		name: "file: cleaning up though a ticket could not be removed",
		in:   ofFile + "seqLock.empty",
		old:  "if len(c.Names) == 0 {",
		new:  "if len(c.Names) == len(l.line.unremovable) {",
	},
	{
		name: "file: a directory that was there before is removed",
		in:   ofFile + "seqLock.removeAll",
		old:  "case !made:",
		new:  "case false:",
	},
	{
		name: "file: a directory that was removed stays known",
		in:   ofFile + "directory.invalidate",
		old:  "defer d.unlist()",
		new:  "",
	},
	{
		name: "file: parents are everybody's",
		in:   lockedFile + "Home.mkdir",
		old:  "Home{Path: above, Mode: h.Mode}",
		new:  "Home{Path: above, Mode: 0o777}",
	},
	{
		name: "file: a chmod that failed leaves the file",
		in:   lockedFile + "NewFile.createAt",
		old:  "f.Close() _ = d.root.Remove(at)",
		new:  "f.Close()",
	},
	{
		name: "file: a directory in use is not kept from those that tidy up",
		in:   ofFile + "directory.openFirst",
		old:  "!d.dir.Share() && patient",
		new:  "false && patient",
	},

	// More than one owner.
	{
		name: "file: a listing brings back what has left meanwhile",
		in:   ofFile + "line.left",
		old:  "if l.listing {",
		new:  "if false {",
	},
	{
		name: "file: one more owns",
		in:   ofFile + "ahead",
		old:  "i-slots+1",
		new:  "i-slots",
	},
	{
		name: "file: the dead are removed only in front",
		in:   ofFile + "call.evictOwners",
		old:  "i < n && i < len(c.line.entries)",
		new:  "i < 1 && i < len(c.line.entries)",
	},
	{
		name: "file: the wrong rank is told",
		in:   ofFile + "line.left",
		old:  "l.local(slots-1, slots); e != nil",
		new:  "l.local(slots, slots); e != nil",
	},
	{
		name: "file: the kind of a line is not asked for",
		in:   ofFile + "knownLine.checkKind",
		old:  "is == noKind || is == joining",
		new:  "is != noKind || is == joining",
	},
	{
		name: "file: a call that only tries does not ask for the kind of a line that is full",
		in:   ofFile + "seqLock.isFree",
		old:  "l.checkKind(l.content.kind, kindOf(l.s.owners))",
		new:  "nil",
	},
	{
		name: "file: a call that only tries does not ask for the kind of this process's line",
		in:   ofFile + "call.register",
		old:  "c.checkKind(noKind, kindOf(c.s.owners))",
		new:  "nil",
	},
	{
		name: "file: the kind of a line is what seq says",
		in:   ofFile + "knownLine.checkKind",
		old:  "first.said != nil {",
		new:  "first.said != nil && false {",
	},
	{
		name: "file: that this process has made the directory is said with the next number only",
		in:   ofFile + "seqLock.read",
		old:  "case valid && q.made && !said:",
		new:  "case false && !said:",
	},
	{
		name: "file: a listing that is not wanted any more keeps seq",
		in:   ofFile + "call.members",
		old:  "if c.ctx.Err() != nil { return nil, c.ctx.Err() // a",
		new:  "if false { return nil, c.ctx.Err() // a",
	},
	{
		name: "file: the dead count as owners",
		in:   ofFile + "seqLock.isFree",
		old:  "if err := l.evictOwners(l.s.slots()); err != nil {",
		new:  "if err := l.evictOwners(0); err != nil {",
	},
	{
		name: "file: the first that waits watches the last of those that hold",
		in:   ofFile + "line.watched",
		old:  "return l.entries[:i]",
		new:  "return l.entries[i-1 : i]",
	},
	{
		name: "file: the first that waits judges the first of those that hold",
		in:   ofFile + "line.doubtful",
		old:  "l.doubtfulOwners(min(i, slots))",
		new:  "l.doubtfulOwners(min(i, slots, 1))",
	},
	{
		name: "file: a waiter does not judge the one in front of it",
		in:   ofFile + "line.doubtful",
		old:  "i > slots && l.entries[i-1].isDoubtful()",
		new:  "false && l.entries[i-1].isDoubtful()",
	},
	{
		name:  "file: the change time of the directory is read after seq",
		in:    ofFile + "seqLock.takeNumbers",
		old:   "same := l.same",
		new:   "same := l.same; l.seq.before = changed(l.dir)",
		tests: ofAway,
	},
	{
		name:  "file: a call that only tries stands in line where another seq was used",
		in:    ofFile + "seqLock.join",
		old:   "case r.onlyFree && before >= l.s.slots():",
		new:   "case false && before > 0:",
		tests: ofAway,
	},
	{
		name:  "file: a ticket is lost while its directory is hidden",
		in:    lockedFile + "Dir.LstatPath",
		old:   "case d.IsCurrent():",
		new:   "case false:",
		tests: ofAway,
	},
	{
		name:  "file: a hidden directory is taken for one that is gone",
		in:    lockedFile + "Dir.IsCurrent",
		old:   "if d.IsHidden() {",
		new:   "if false {",
		tests: ofAway,
	},
	{
		name:  "file: a hidden directory is left where it is",
		in:    lockedFile + "Dir.Restore",
		old:   "if !d.IsHidden() ||",
		new:   "if true ||",
		tests: ofAway,
	},
	{
		name:  "file: a hidden directory is in its place beside another one",
		in:    lockedFile + "Dir.LstatPath",
		old:   "case d.IsCurrent():",
		new:   "case d.IsHidden():",
		tests: ofAway,
	},
	{
		name:  "file: the slower of two that move a directory back fails",
		in:    lockedFile + "Dir.Restore",
		old:   "if d.isAt(d.path) {",
		new:   "if false {",
		tests: ofAway,
	},
	{
		name:  "file: another directory is moved back",
		in:    lockedFile + "Dir.Restore",
		old:   "if !d.IsHidden() || !d.Share() || !d.IsHidden() {",
		new:   "if !d.Share() {",
		tests: ofAway,
	},
	{
		name:  "file: a directory is moved back only where seq is gone",
		in:    ofFile + "call.register",
		old:   "if err = restore(c.dir); !errors.Is(err, errBusy) {",
		new:   "if false {",
		tests: ofAway,
	},
}}
