//! States built by hand.
