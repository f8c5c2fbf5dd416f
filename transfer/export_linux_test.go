package transfer

// Linger is SO_LINGER as a socket carries it now.
var Linger = getLinger
