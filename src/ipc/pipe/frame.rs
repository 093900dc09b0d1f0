//! Message framing in a byte stream: a length, followed by that many bytes.
//!
//! # State
//! The decoder holds what was read and not yet returned: `ahead[from..to]` for messages that fit there, `body` for one
//! that does not. `pending` is the length of the message whose header is already consumed. Headers are not trusted with
//! allocation: memory grows with the bytes that arrive.
//!
//! # Standard
//! Python's `multiprocessing.connection` on Unix: `i32` big-endian `n`, then `n` bytes; `n == -1` is followed by a `u64`
//! big-endian length. Differs: other negative lengths, which Python reads as empty messages, are refused.

/// Length of a header: the short form, which is sent up to [`SHORT_LIMIT`] bytes, and the long form.
const SHORT: usize = 4;
pub(crate) const LONG: usize = 12;
const SHORT_LIMIT: usize = i32::MAX as usize;
/// Marks that the length follows in the long form.
const LONG_MARK: i32 = -1;

/// How much is read at once: several hundred small messages.
const AHEAD: usize = 16 * 1024;
/// Initial buffer of a long message; it doubles as the message arrives.
const FIRST_PIECE: usize = 64 * 1024;
/// A larger buffer is not kept for the next message.
pub(super) const KEPT: usize = 1024 * 1024;

/// Returns the header of a message of `len` bytes, and the number of bytes used in it.
pub(crate) fn header(len: usize) -> ([u8; LONG], usize) {
    let mut header = [0; LONG];
    if len <= SHORT_LIMIT {
        header[..SHORT].copy_from_slice(&(len as i32).to_be_bytes());
        return (header, SHORT);
    }
    header[..SHORT].copy_from_slice(&LONG_MARK.to_be_bytes());
    header[SHORT..].copy_from_slice(&(len as u64).to_be_bytes());
    (header, LONG)
}

/// A header announced a length that is negative or above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadLength {
    pub(crate) announced: i128,
    pub(crate) limit: usize,
}

/// Finds messages in bytes that arrive in arbitrary pieces.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    ahead: Vec<u8>,
    from: usize,
    to: usize,
    pending: Option<usize>,
    body: Vec<u8>,
    /// How much of `body` has arrived; the rest of it is free.
    body_to: usize,
}

impl Decoder {
    /// Creates a decoder that continues with bytes that another one [left](Self::leftover).
    pub(crate) fn resume(leftover: Vec<u8>) -> Self {
        Decoder { to: leftover.len(), ahead: leftover, ..Decoder::default() }
    }

    /// Returns whether a complete message of at most `limit` bytes is available.
    #[inline]
    pub(crate) fn has_message(&mut self, limit: usize) -> Result<bool, BadLength> {
        let pending = match self.pending {
            Some(len) => len,
            None => match self.announced() {
                None => return Ok(false),
                Some((announced, header)) => {
                    let len = usize::try_from(announced).ok().filter(|len| *len <= limit);
                    let len = len.ok_or(BadLength { announced, limit })?;
                    self.from += header;
                    self.begin(len);
                    len
                }
            },
        };
        if pending > limit {
            return Err(BadLength { announced: pending as i128, limit });
        }
        Ok(self.missing() == 0)
    }

    /// Returns whether [`has_message`](Self::has_message) would return `true` or an error, without consuming anything.
    pub(crate) fn is_ready(&self, limit: usize) -> bool {
        match (self.pending, self.announced()) {
            (Some(len), _) => len > limit || self.missing() == 0,
            (None, None) => false,
            (None, Some((announced, header))) => {
                // Compared in i128, where no length of the wire overflows. A negative one is an error, and ready.
                announced > limit as i128 || announced <= (self.to - self.from - header) as i128
            }
        }
    }

    /// Returns how many bytes of an incomplete message have arrived, including its header. 0 between messages.
    pub(crate) fn inside(&self) -> usize {
        match self.pending {
            None => self.to - self.from,
            Some(len) => header(len).1 + len - self.missing(),
        }
    }

    /// Returns a buffer for at least one more byte. With `exact` it does not extend beyond the next message. To be
    /// called after [`has_message`](Self::has_message) returned `false`.
    pub(crate) fn room(&mut self, exact: bool) -> &mut [u8] {
        let missing = self.missing();
        if let Some(len) = self.pending
            && len > AHEAD
        {
            if self.body_to == self.body.len() {
                self.body.resize(len.min((2 * self.body_to).max(FIRST_PIECE)), 0);
            }
            return &mut self.body[self.body_to..];
        }
        if self.ahead.len() < AHEAD {
            self.ahead.resize(AHEAD, 0);
        }
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.ahead.len() - self.to < missing {
            self.ahead.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let end = if exact { self.to + missing } else { self.ahead.len() };
        &mut self.ahead[self.to..end]
    }

    /// Records that `count` bytes were put into the [`room`](Self::room).
    pub(crate) fn filled(&mut self, count: usize) {
        match self.pending {
            Some(len) if len > AHEAD => self.body_to += count,
            _ => self.to += count,
        }
    }

    /// Returns the available message, which the next call discards.
    #[inline]
    pub(crate) fn message(&mut self) -> &[u8] {
        let len = self.pending.take().expect("has_message said so");
        if len > AHEAD {
            self.body_to = 0;
            return &self.body[..len];
        }
        self.from += len;
        &self.ahead[self.from - len..self.from]
    }

    /// Returns the available message as a vector.
    pub(crate) fn message_vec(&mut self) -> Vec<u8> {
        match self.pending {
            Some(len) if len > AHEAD => {
                (self.pending, self.body_to) = (None, 0);
                // It was grown for this message and has exactly its length.
                std::mem::take(&mut self.body)
            }
            _ => self.message().to_vec(),
        }
    }

    /// Returns all bytes that arrived and were not returned, in their original form.
    pub(crate) fn leftover(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(len) = self.pending {
            let (header, header_len) = header(len);
            bytes.extend_from_slice(&header[..header_len]);
        }
        bytes.extend_from_slice(&self.body[..self.body_to]);
        bytes.extend_from_slice(&self.ahead[self.from..self.to]);
        bytes
    }

    /// Returns the length and header length of the message that begins at `from`, if its header has arrived.
    #[inline]
    fn announced(&self) -> Option<(i128, usize)> {
        let arrived = &self.ahead[self.from..self.to];
        let (short, rest) = arrived.split_first_chunk::<SHORT>()?;
        match i32::from_be_bytes(*short) {
            LONG_MARK => Some((i128::from(u64::from_be_bytes(*rest.first_chunk()?)), LONG)),
            len => Some((i128::from(len), SHORT)),
        }
    }

    /// To be called after the header of a message of `len` bytes was consumed.
    #[inline]
    fn begin(&mut self, len: usize) {
        self.pending = Some(len);
        if len > AHEAD {
            let arrived = len.min(self.to - self.from);
            self.body.clear();
            self.body.shrink_to(KEPT);
            self.body.extend_from_slice(&self.ahead[self.from..self.from + arrived]);
            self.body_to = arrived;
            self.from += arrived;
        }
    }

    /// Returns how many further bytes the next step needs: the rest of the header, or of the message.
    #[inline]
    fn missing(&self) -> usize {
        let arrived = self.to - self.from;
        match self.pending {
            Some(len) if len > AHEAD => len - self.body_to,
            Some(len) => len.saturating_sub(arrived),
            None if arrived < SHORT => SHORT - arrived,
            // Only the mark of the long form makes a header of four bytes incomplete.
            None => LONG.saturating_sub(arrived),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let (header, len) = header(body.len());
        [&header[..len], body].concat()
    }

    /// Feeds `bytes` to the decoder in pieces of the given sizes and collects its output.
    fn decode(
        decoder: &mut Decoder,
        mut bytes: &[u8],
        pieces: &[usize],
        exact: bool,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, BadLength> {
        let mut found = Vec::new();
        let mut pieces = pieces.iter().cycle();
        loop {
            loop {
                let ready = decoder.is_ready(limit);
                let has_message = decoder.has_message(limit);
                assert_eq!(ready, has_message != Ok(false));
                if !has_message? {
                    break;
                }
                found.push(if found.len() % 2 == 0 { decoder.message_vec() } else { decoder.message().to_vec() });
            }
            if bytes.is_empty() {
                return Ok(found);
            }
            let room = decoder.room(exact);
            let count = room.len().min(bytes.len()).min(*pieces.next().expect("a cycle"));
            room[..count].copy_from_slice(&bytes[..count]);
            decoder.filled(count);
            bytes = &bytes[count..];
        }
    }

    #[test]
    fn header_is_pythons() {
        assert_eq!(frame(b""), [0, 0, 0, 0]);
        assert_eq!(frame(b"abc"), *b"\0\0\0\x03abc");
        let (long, len) = header(SHORT_LIMIT + 1);
        assert_eq!(long[..len], [255, 255, 255, 255, 0, 0, 0, 0, 128, 0, 0, 0]);
        assert_eq!(header(SHORT_LIMIT), ([127, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0], SHORT));
    }

    #[test]
    fn long_form_of_a_short_message_is_understood() {
        let bytes = [&[255_u8; 4][..], &2_u64.to_be_bytes(), b"hi"].concat();
        for piece in 1..=bytes.len() {
            assert_eq!(decode(&mut Decoder::default(), &bytes, &[piece], true, 100), Ok(vec![b"hi".to_vec()]));
        }
    }

    #[test]
    fn negative_length_is_refused() {
        let bytes = (-2_i32).to_be_bytes();
        let refused = decode(&mut Decoder::default(), &bytes, &[4], false, 100);
        assert_eq!(refused, Err(BadLength { announced: -2, limit: 100 }));
    }

    #[test]
    fn length_above_the_limit_is_refused_before_anything_is_allocated() {
        let mut decoder = Decoder::default();
        let bytes = [&[255; 4][..], &u64::MAX.to_be_bytes()].concat();
        let refused = decode(&mut decoder, &bytes, &[12], false, 100);
        assert_eq!(refused, Err(BadLength { announced: u64::MAX.into(), limit: 100 }));
        assert_eq!(decoder.body.capacity(), 0);
    }

    #[test]
    fn memory_grows_with_what_arrives_and_not_with_what_is_announced() {
        let mut decoder = Decoder::default();
        let bytes = [&(1_i32 << 30).to_be_bytes()[..], &[1; 100]].concat();
        assert_eq!(decode(&mut decoder, &bytes, &[usize::MAX], false, usize::MAX), Ok(vec![]));
        decoder.room(false);
        assert!(decoder.body.capacity() <= FIRST_PIECE, "{} bytes", decoder.body.capacity());
        assert_eq!(decoder.inside(), SHORT + 100);
    }

    /// Bodies around every size threshold.
    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let near = |size: usize| (size.saturating_sub(5)..size + 5, any::<u8>());
        let one = prop_oneof![
            4 => near(5),
            1 => near(AHEAD),
            1 => near(FIRST_PIECE),
            1 => near(3 * FIRST_PIECE),
        ];
        prop::collection::vec(one.prop_map(|(len, byte)| vec![byte; len]), 0..8)
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            bodies in bodies(),
            pieces in prop::collection::vec(prop_oneof![1..20_usize, 1..100_000_usize], 1..5),
            exact: bool,
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
            let mut decoder = Decoder::default();
            prop_assert_eq!(decode(&mut decoder, &bytes, &pieces, exact, usize::MAX), Ok(bodies));
            prop_assert_eq!(decoder.inside(), 0);
        }

        #[test]
        fn leftover_goes_on_in_another_decoder(bodies in bodies(), cut in 0..400_000_usize, exact: bool) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut decoder = Decoder::default();
            let mut found = decode(&mut decoder, first, &[1000, 100_000], exact, usize::MAX).expect("good lengths");
            let mut resumed = Decoder::resume(decoder.leftover());
            found.extend(decode(&mut resumed, second, &[100_000], exact, usize::MAX).expect("good lengths"));
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn exact_room_never_reaches_into_the_next_message(bodies in bodies()) {
            let mut decoder = Decoder::default();
            for body in bodies {
                let bytes = frame(&body);
                let mut given = 0;
                while !decoder.has_message(usize::MAX).expect("good lengths") {
                    let room = decoder.room(true);
                    prop_assert!(!room.is_empty() && room.len() <= bytes.len() - given);
                    let count = room.len();
                    room.copy_from_slice(&bytes[given..given + count]);
                    decoder.filled(count);
                    given += count;
                }
                prop_assert_eq!(given, bytes.len());
                prop_assert_eq!(decoder.message(), &body[..]);
            }
        }

        #[test]
        fn arbitrary_bytes_neither_panic_nor_allocate_beyond_the_limit(
            // Small first bytes, so that some of the lengths are plausible.
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(255_u8), any::<u8>()], 0..5_000),
            pieces in prop::collection::vec(1..3_000_usize, 1..5),
            exact: bool,
            limit in 0..200_000_usize,
        ) {
            let mut decoder = Decoder::default();
            let found = decode(&mut decoder, &bytes, &pieces, exact, limit);
            prop_assert!(decoder.body.capacity() <= FIRST_PIECE.max(2 * bytes.len()));
            prop_assert!(found.is_err() || found.is_ok_and(|found| found.iter().all(|body| body.len() <= limit)));
        }
    }
}
