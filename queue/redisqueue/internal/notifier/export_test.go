package notifier

// TakeID has n draw what another one has drawn.
func (n *Notifier) TakeID(of *Notifier) { n.id = of.id }
