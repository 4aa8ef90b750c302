package queue

// ContentOffset is where the content of seq begins.
const ContentOffset = contentOffset
