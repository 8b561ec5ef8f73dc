//! One error type for all floors: a stable code and a static explanation. It is `Copy` and small, for it
//! travels through hot paths; prose for people is made at the top.

use std::fmt;

/// The stable codes of the public contract. In JavaScript each reads `ERR_COHEAP_` and this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each code is documented once, in the public error reference")]
#[repr(u8)]
pub enum Code {
    Exists = 1,
    NotFound,
    Permission,
    Version,
    Corrupt,
    Closed,
    OutOfMemory,
    TooManyParticipants,
    UnsupportedType,
    UnregisteredClass,
    ReadOnly,
    Destroyed,
    WrongHeap,
    InvalidArgument,
    Aborted,
    AsyncTransaction,
    RetriesExhausted,
    Timeout,
    ChannelFull,
    ChannelClosed,
    NativeNotFound,
    UnsupportedRuntime,
}

impl Code {
    /// The name as users see it.
    pub fn name(self) -> &'static str {
        use Code::*;
        match self {
            Exists => "ERR_COHEAP_EXISTS",
            NotFound => "ERR_COHEAP_NOT_FOUND",
            Permission => "ERR_COHEAP_PERMISSION",
            Version => "ERR_COHEAP_VERSION",
            Corrupt => "ERR_COHEAP_CORRUPT",
            Closed => "ERR_COHEAP_CLOSED",
            OutOfMemory => "ERR_COHEAP_OUT_OF_MEMORY",
            TooManyParticipants => "ERR_COHEAP_TOO_MANY_PARTICIPANTS",
            UnsupportedType => "ERR_COHEAP_UNSUPPORTED_TYPE",
            UnregisteredClass => "ERR_COHEAP_UNREGISTERED_CLASS",
            ReadOnly => "ERR_COHEAP_READ_ONLY",
            Destroyed => "ERR_COHEAP_DESTROYED",
            WrongHeap => "ERR_COHEAP_WRONG_HEAP",
            InvalidArgument => "ERR_COHEAP_INVALID_ARGUMENT",
            Aborted => "ERR_COHEAP_ABORTED",
            AsyncTransaction => "ERR_COHEAP_ASYNC_TRANSACTION",
            RetriesExhausted => "ERR_COHEAP_RETRIES_EXHAUSTED",
            Timeout => "ERR_COHEAP_TIMEOUT",
            ChannelFull => "ERR_COHEAP_CHANNEL_FULL",
            ChannelClosed => "ERR_COHEAP_CHANNEL_CLOSED",
            NativeNotFound => "ERR_COHEAP_NATIVE_NOT_FOUND",
            UnsupportedRuntime => "ERR_COHEAP_UNSUPPORTED_RUNTIME",
        }
    }
}

/// What went wrong: the code, why in a few words, and the number that it is about (an offset, an `errno`, a
/// size), 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// A few words without a capital or a full stop.
    pub what: &'static str,
    /// The number that the words are about.
    pub about: u64,
}

impl Error {
    /// An error without a number.
    pub const fn new(code: Code, what: &'static str) -> Self {
        Error { code, what, about: 0 }
    }
    /// An error about a number.
    pub const fn about(code: Code, what: &'static str, about: u64) -> Self {
        Error { code, what, about }
    }
    /// Something in shared memory that cannot be.
    pub const fn corrupt(what: &'static str, at: u64) -> Self {
        Error { code: Code::Corrupt, what, about: at }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.what)?;
        if self.about != 0 {
            write!(f, " ({:#x})", self.about)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The result of everything that can fail below JavaScript.
pub type Result<T> = std::result::Result<T, Error>;
