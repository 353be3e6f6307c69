//! What can go wrong, by name: every rule that the engine enforces, the code that the RFC gives its
//! breach, and the section that says so. What is done about a breach is the connection's matter.

use std::fmt;

use crate::frame::FrameKind;

/// An HTTP/2 error code (RFC 9113 section 7). Unknown codes pass through unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The code's name in the RFC, or `unknown`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            _ => "unknown",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $value:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("`", stringify!($name), "`, RFC 9113 section 7.")]
                pub const $name: Self = Self($value);
            )*
        }
    };
}

codes! {
    NO_ERROR = 0x0;
    PROTOCOL_ERROR = 0x1;
    INTERNAL_ERROR = 0x2;
    FLOW_CONTROL_ERROR = 0x3;
    SETTINGS_TIMEOUT = 0x4;
    STREAM_CLOSED = 0x5;
    FRAME_SIZE_ERROR = 0x6;
    REFUSED_STREAM = 0x7;
    CANCEL = 0x8;
    COMPRESSION_ERROR = 0x9;
    CONNECT_ERROR = 0xa;
    ENHANCE_YOUR_CALM = 0xb;
    INADEQUATE_SECURITY = 0xc;
    HTTP_1_1_REQUIRED = 0xd;
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:#x})", self.name(), self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "unknown" => write!(f, "error code {:#x}", self.0),
            name => f.write_str(name),
        }
    }
}

macro_rules! rules {
    ($($name:ident, $code:ident, $section:literal, $says:literal;)*) => {
        /// A rule that a peer has broken: of the RFCs, or of this engine's limits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!($says, " (", $section, ").")] $name,)*
        }

        impl Rule {
            /// Every rule, for tables and labels.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The rule's name, as in the source: fit for a metric's label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What the RFC calls a breach of it.
            pub const fn code(self) -> ErrorCode {
                match self { $(Self::$name => ErrorCode::$code,)* }
            }

            /// Where it is written.
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// What was done against it, in words.
            pub const fn says(self) -> &'static str {
                match self { $(Self::$name => $says,)* }
            }
        }
    };
}

rules! {
    Preface, PROTOCOL_ERROR, "RFC 9113 3.4", "the connection preface is missing or wrong";
    FrameTooLarge, FRAME_SIZE_ERROR, "RFC 9113 4.2", "a frame is larger than was allowed";
    FrameLength, FRAME_SIZE_ERROR, "RFC 9113 6", "a frame's length does not fit its kind";
    NeedsStream, PROTOCOL_ERROR, "RFC 9113 6", "a stream's frame came on stream 0";
    NeedsConnection, PROTOCOL_ERROR, "RFC 9113 6", "a connection's frame came on a stream";
    Padding, PROTOCOL_ERROR, "RFC 9113 6.1", "the padding is as long as the payload or longer";
    SelfDependency, PROTOCOL_ERROR, "RFC 7540 5.3.1", "a stream depends on itself";
    IdleStream, PROTOCOL_ERROR, "RFC 9113 5.1", "a frame came on a stream that is idle";
    StreamId, PROTOCOL_ERROR, "RFC 9113 5.1.1", "the peer may not open a stream of this number";
    StreamClosed, STREAM_CLOSED, "RFC 9113 5.1", "a frame came after the stream's end";
    StreamRefused, REFUSED_STREAM, "RFC 9113 5.1.2", "more streams at once than were allowed";
    GoingAway, REFUSED_STREAM, "RFC 9113 6.8", "a stream was opened after the last GOAWAY";
    Push, PROTOCOL_ERROR, "RFC 9113 8.4", "a push came although pushes are off";
    BlockInterrupted, PROTOCOL_ERROR, "RFC 9113 6.10", "another frame came within a header block";
    StrayContinuation, PROTOCOL_ERROR, "RFC 9113 6.10", "a CONTINUATION has no header block";
    SettingValue, PROTOCOL_ERROR, "RFC 9113 6.5.2", "a setting's value is out of its range";
    SettingWindow, FLOW_CONTROL_ERROR, "RFC 9113 6.5.2", "the initial window is above 2^31-1";
    ZeroIncrement, PROTOCOL_ERROR, "RFC 9113 6.9", "a WINDOW_UPDATE adds nothing";
    WindowOverflow, FLOW_CONTROL_ERROR, "RFC 9113 6.9.1", "a window grew above 2^31-1";
    WindowExceeded, FLOW_CONTROL_ERROR, "RFC 9113 6.9", "more data came than the window allowed";
    HpackTruncated, COMPRESSION_ERROR, "RFC 7541 5", "a header block ends within a field";
    HpackInteger, COMPRESSION_ERROR, "RFC 7541 5.1", "an integer is above 2^28";
    HpackIndex, COMPRESSION_ERROR, "RFC 7541 2.3.3", "an index points at no table entry";
    HpackHuffman, COMPRESSION_ERROR, "RFC 7541 5.2", "a Huffman string has a wrong code or padding";
    HpackResize, COMPRESSION_ERROR, "RFC 7541 6.3", "a table size update is too large";
    HpackResizePlace, COMPRESSION_ERROR, "RFC 7541 4.2", "a table size update follows a field";
    FieldName, PROTOCOL_ERROR, "RFC 9113 8.2.1", "a field's name has a forbidden character";
    FieldValue, PROTOCOL_ERROR, "RFC 9113 8.2.1", "a field's value has a forbidden character";
    ConnectionField, PROTOCOL_ERROR, "RFC 9113 8.2.2", "a connection-specific field is present";
    PseudoUnknown, PROTOCOL_ERROR, "RFC 9113 8.3", "a pseudo-header is unknown or misplaced";
    PseudoRepeated, PROTOCOL_ERROR, "RFC 9113 8.3", "a pseudo-header is present twice";
    PseudoLate, PROTOCOL_ERROR, "RFC 9113 8.3", "a pseudo-header follows a regular field";
    PseudoMissing, PROTOCOL_ERROR, "RFC 9113 8.3.1", "a pseudo-header is missing";
    PseudoValue, PROTOCOL_ERROR, "RFC 9113 8.3.1", "a pseudo-header's value cannot be";
    ContentLength, PROTOCOL_ERROR, "RFC 9113 8.1.1", "content-length and data disagree";
    HeadersExpected, PROTOCOL_ERROR, "RFC 9113 8.1", "data came before the headers";
    TrailersNotLast, PROTOCOL_ERROR, "RFC 9113 8.1", "trailers do not end the stream";
    InterimEnds, PROTOCOL_ERROR, "RFC 9113 8.1", "an informational response ends the stream";
    HeaderListTooLarge, ENHANCE_YOUR_CALM, "limit header_list_bytes", "a header list is too large";
    HeaderBlockTooLarge, ENHANCE_YOUR_CALM, "limit header_block_bytes", "a header block is large";
    ContinuationFlood, ENHANCE_YOUR_CALM, "limit continuations", "too many CONTINUATION frames";
    EmptyDataFlood, ENHANCE_YOUR_CALM, "limit empty_data", "too many empty DATA frames";
    UnreadDataFlood, ENHANCE_YOUR_CALM, "limit unread_small_data", "too much small unread DATA";
    PrematureResetFlood, ENHANCE_YOUR_CALM, "limit premature_resets", "too many early resets";
    ResetFlood, ENHANCE_YOUR_CALM, "limit resets", "too many streams reset";
    ProvokedResetFlood, ENHANCE_YOUR_CALM, "limit provoked_resets", "too many streams broke a rule";
    RefusedFlood, ENHANCE_YOUR_CALM, "limit refused", "too many streams over the maximum";
    InterimFlood, ENHANCE_YOUR_CALM, "limit interim_responses", "too many informational responses";
    PingFlood, ENHANCE_YOUR_CALM, "limit pings", "too many PING frames";
    SettingsFlood, ENHANCE_YOUR_CALM, "limit settings", "too many SETTINGS frames";
    WindowUpdateFlood, ENHANCE_YOUR_CALM, "limit window_updates", "too many WINDOW_UPDATE frames";
    PriorityFlood, ENHANCE_YOUR_CALM, "limit priorities", "too many PRIORITY frames";
    GoAwayFlood, ENHANCE_YOUR_CALM, "limit goaways", "too many GOAWAY frames";
    UnknownFlood, ENHANCE_YOUR_CALM, "limit unknown_frames", "too many frames of unknown kinds";
    OutputUnread, ENHANCE_YOUR_CALM, "limit unread_bytes", "the peer asks on and reads nothing";
    RepliesUnread, ENHANCE_YOUR_CALM, "limit queued_replies", "the peer reads no replies";
}

/// The connection is over: which rule was broken, by which frame, on which stream.
///
/// A GOAWAY with [`Rule::code`] is already in the output; write it, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// The rule.
    pub rule: Rule,
    /// The frame that broke it; `None` before the first frame.
    pub frame: Option<FrameKind>,
    /// The stream that the frame names, 0 for the connection.
    pub stream: u32,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            frame,
            stream,
        } = self;
        write!(f, "{}", rule.says())?;
        if let Some(kind) = frame {
            write!(f, ": {kind} on stream {stream}")?;
        }
        write!(f, " ({}, {})", rule.section(), rule.code())
    }
}

impl std::error::Error for ConnectionError {}

/// A broken rule and how far it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Ends the connection (RFC 9113 section 5.4.1).
    Connection(Rule),
    /// Ends the frame's stream only (RFC 9113 section 5.4.2).
    Stream(Rule),
}

/// A plain rule ends the connection: whoever means less says so.
impl From<Rule> for Breach {
    fn from(rule: Rule) -> Self {
        Self::Connection(rule)
    }
}

/// Why a command was not carried out. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The stream is over, or never was.
    Gone,
    /// The command does not fit what was sent on the stream so far.
    OutOfOrder,
    /// The stream's queue already holds [`Limits::queue_bytes`](crate::Limits::queue_bytes).
    QueueFull,
    /// No stream may be opened now: the peer's maximum is reached, or the peer reads nothing.
    NoSlot,
    /// No stream may be opened any more on this connection.
    Closing,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the stream is over",
            Self::OutOfOrder => "headers, data and trailers must be sent in this order",
            Self::QueueFull => "the stream's queue is full",
            Self::NoSlot => "the peer takes no more streams for now",
            Self::Closing => "the connection takes no new streams",
        })
    }
}

impl std::error::Error for CommandError {}
