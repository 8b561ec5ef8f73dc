//! What can be wrong with a history.

use std::fmt;

/// The name of an anomaly. Of two that a history shows, [`check`](crate::check) names the one further up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The record contradicts itself: a value that was appended twice.
    Malformed,
    /// A value stands in a list twice, though it was appended once.
    Duplicate,
    /// G1a: a value that was never committed was seen, or stands in a list.
    AbortedRead,
    /// A transaction does not see its own appends, or sees them before it makes them, or sees a list change
    /// under it.
    Internal,
    /// G1b: a list as it was in the middle of another's transaction was seen.
    IntermediateRead,
    /// P4: a committed append is gone, or two appended to a list as it was before either.
    LostUpdate,
    /// What was read of a list never was its beginning.
    IncompatibleOrder,
    /// G0: each of a circle wrote over the one before.
    DirtyWrite,
    /// G1c: a circle of those who wrote over or have seen the one before.
    CircularInformationFlow,
    /// G-single: as G1c, but one has seen what was before the next one wrote.
    ReadSkew,
    /// G2: as G-single, with two or more such. (Write skew, if it is of two.)
    WriteSkew,
    /// G0 if what had ended before another began comes before it.
    DirtyWriteRealTime,
    /// G1c with time.
    CircularInformationFlowRealTime,
    /// G-single with time: a read of what had been overwritten before the reader began, most often.
    ReadSkewRealTime,
    /// G2 with time.
    WriteSkewRealTime,
}

impl Kind {
    /// Its name in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Malformed => "malformed history",
            Kind::Duplicate => "duplicate append",
            Kind::AbortedRead => "G1a (aborted read)",
            Kind::Internal => "internal inconsistency",
            Kind::IntermediateRead => "G1b (intermediate read)",
            Kind::LostUpdate => "P4 (lost update)",
            Kind::IncompatibleOrder => "incompatible order",
            Kind::DirtyWrite => "G0 (dirty write)",
            Kind::CircularInformationFlow => "G1c (circular information flow)",
            Kind::ReadSkew => "G-single (read skew)",
            Kind::WriteSkew => "G2 (write skew)",
            Kind::DirtyWriteRealTime => "G0 in real time",
            Kind::CircularInformationFlowRealTime => "G1c in real time",
            Kind::ReadSkewRealTime => "G-single in real time (stale read)",
            Kind::WriteSkewRealTime => "G2 in real time",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A history that is not strictly serialisable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Its name.
    pub kind: Kind,
    /// What was seen; of a cycle, the operations in order and what ties each to the next.
    pub what: String,
    /// The numbers of the operations that are part of it.
    pub operations: Vec<usize>,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}

impl std::error::Error for Anomaly {}
