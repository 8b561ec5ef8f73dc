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

/// The number that an error is about, and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// None.
    Nothing,
    /// A count, an id or a value that was given.
    Number(u64),
    /// An offset in the segment.
    At(u64),
    /// A size.
    Bytes(u64),
    /// The system's own error number.
    System(i32),
}

/// What went wrong: the code, why in a few words, and the number that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// A few words without a capital or a full stop.
    pub what: &'static str,
    /// The number that the words are about.
    pub about: About,
}

impl Error {
    /// An error without a number.
    pub const fn new(code: Code, what: &'static str) -> Self {
        Error { code, what, about: About::Nothing }
    }
    /// An error about a count, an id or a value.
    pub const fn about(code: Code, what: &'static str, about: u64) -> Self {
        Error { code, what, about: About::Number(about) }
    }
    /// An error about a size.
    pub const fn bytes(code: Code, what: &'static str, bytes: u64) -> Self {
        Error { code, what, about: About::Bytes(bytes) }
    }
    /// An error about what stands at an offset.
    pub const fn at(code: Code, what: &'static str, at: u64) -> Self {
        Error { code, what, about: About::At(at) }
    }
    /// A refusal of the system; its own words are added.
    pub fn system(code: Code, what: &'static str, error: &std::io::Error) -> Self {
        let about = error.raw_os_error().map_or(About::Nothing, About::System);
        Error { code, what, about }
    }
    /// Something in shared memory that cannot be.
    pub const fn corrupt(what: &'static str, at: u64) -> Self {
        Error::at(Code::Corrupt, what, at)
    }

    /// There are no versions left for another change.
    #[cold]
    pub const fn used_up() -> Self {
        Error::new(
            Code::OutOfMemory,
            "the heap's version clock is used up: it can be read, and copied to a new heap",
        )
    }

    /// The offset that it is about, 0 if it is about something else.
    pub fn offset(&self) -> u64 {
        if let About::At(at) = self.about { at } else { 0 }
    }

    /// All of it in words but for the code.
    pub fn text(&self) -> impl fmt::Display {
        Text(*self)
    }
}

struct Text(Error);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.what)?;
        match self.0.about {
            About::Nothing | About::At(0) => Ok(()),
            About::Number(n) => write!(f, " ({n})"),
            About::At(at) => write!(f, " (at {at:#x})"),
            About::Bytes(n) => match n.trailing_zeros() {
                30.. if n != 0 => write!(f, " ({} GiB)", n >> 30),
                20..30 => write!(f, " ({} MiB)", n >> 20),
                10..20 => write!(f, " ({} KiB)", n >> 10),
                _ => write!(f, " ({n} bytes)"),
            },
            // "No space left on device (os error 28)"
            About::System(number) => write!(f, ": {}", std::io::Error::from_raw_os_error(number)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.text())
    }
}

impl std::error::Error for Error {}

/// The result of everything that can fail below JavaScript.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_its_number_is() {
        let text = |error: Error| error.text().to_string();
        assert_eq!(text(Error::new(Code::Closed, "closed")), "closed");
        assert_eq!(text(Error::about(Code::NotFound, "none", 3)), "none (3)");
        assert_eq!(text(Error::corrupt("odd", 0x40)), "odd (at 0x40)");
        for (bytes, said) in [
            (0, "0 bytes"),
            (1000, "1000 bytes"),
            (3 << 10, "3 KiB"),
            (4 << 20, "4 MiB"),
            (1 << 36, "64 GiB"),
        ] {
            assert_eq!(text(Error::bytes(Code::OutOfMemory, "full", bytes)), format!("full ({said})"));
        }
        let refused = std::io::Error::from_raw_os_error(2);
        assert_eq!(text(Error::system(Code::NotFound, "no", &refused)), format!("no: {refused}"));
        assert_eq!(
            Error::system(Code::Exists, "x", &std::io::Error::other("y")).to_string(),
            "ERR_COHEAP_EXISTS: x"
        );
    }
}
