//! Where a call goes, and whether it is tried again. Pure: clocks and chance are passed in, and
//! nothing here waits, locks or allocates on the path of a request but where it says so.
