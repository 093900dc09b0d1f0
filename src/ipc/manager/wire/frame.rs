//! Frames: encoding and decoding.
//!
//! # State
//! A frame is the length of its content (four bytes, little-endian), and the content; on an encrypted connection
//! its encrypted form. A length above the limit is refused on arrival, before memory is allocated for it; buffers grow
//! as bytes arrive.

use std::ops::Range;

use super::seal::{FrameKey, sealed_len};

/// Bytes before a frame's content.
pub(crate) const HEADER: usize = 4;
/// The longest frame of a peer that has not authenticated.
pub(crate) const HANDSHAKE_LIMIT: usize = 256;
/// The capacity that an empty inbox keeps.
const ROOM_KEPT: usize = 4096;

/// Why bytes are not valid frames: the connection is unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    TooLong { bytes: usize, limit: usize },
    WrongSeal,
    NoMessage,
}

/// Received bytes, read frame by frame.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The longest content that is accepted.
    limit: usize,
    key: Option<FrameKey>,
    bytes: Vec<u8>,
    /// How many of the bytes belong to frames that were read.
    used: usize,
}

impl Inbox {
    pub(crate) fn new(limit: usize, key: Option<FrameKey>) -> Self {
        Inbox { limit, key, bytes: Vec::new(), used: 0 }
    }

    /// Adds `fresh` bytes.
    pub(crate) fn feed(&mut self, fresh: &[u8]) {
        self.bytes.extend_from_slice(fresh);
    }

    /// Returns the content of the next frame; `None` until all of it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        let Some(sent) = self.next_frame()? else {
            self.bytes.drain(..self.used);
            self.used = 0;
            if self.bytes.is_empty() {
                self.bytes.shrink_to(ROOM_KEPT);
            }
            return Ok(None);
        };
        self.used = sent.end;
        match &mut self.key {
            Some(key) => key.open(&self.bytes[sent]).ok_or(Broken::WrongSeal).map(Some),
            None => Ok(Some(&self.bytes[sent])),
        }
    }

    /// Returns where the next frame is, without its header, if all of it has arrived.
    fn next_frame(&self) -> Result<Option<Range<usize>>, Broken> {
        let Some(header) = self.bytes[self.used..].first_chunk::<HEADER>() else { return Ok(None) };
        let (len, limit) = (u32::from_le_bytes(*header) as usize, self.limit);
        if len > limit {
            return Err(Broken::TooLong { bytes: len, limit });
        }
        let begin = self.used + HEADER;
        let end = begin + if self.key.is_some() { sealed_len(len) } else { len };
        Ok((end <= self.bytes.len()).then_some(begin..end))
    }
}

/// Appends a frame to `out`; `write` appends its content. If the content exceeds `limit`, removes the frame and returns
/// the length as the error.
pub(super) fn append_frame(
    out: &mut Vec<u8>,
    limit: usize,
    key: &mut Option<FrameKey>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), usize> {
    let start = out.len();
    let content = start + HEADER;
    out.resize(content, 0);
    write(out);
    let len = out.len() - content;
    match u32::try_from(len) {
        Ok(header) if len <= limit => out[start..content].copy_from_slice(&header.to_le_bytes()),
        _ => {
            out.truncate(start);
            return Err(len);
        }
    }
    if let Some(key) = key {
        key.seal(out, content);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::key_pair;
    use super::*;
    use proptest::prelude::*;

    fn framed(contents: &[Vec<u8>], key: &mut Option<FrameKey>) -> Vec<u8> {
        let mut out = Vec::new();
        for content in contents {
            append_frame(&mut out, 1000, key, |out| out.extend_from_slice(content)).expect("within the limit");
        }
        out
    }

    fn inbox(key: Option<FrameKey>) -> Inbox {
        Inbox::new(1000, key)
    }

    fn read(inbox: &mut Inbox, fresh: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        inbox.feed(fresh);
        let mut frames = Vec::new();
        while let Some(content) = inbox.next()? {
            frames.push(content.to_vec());
        }
        Ok(frames)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn frames_arrive_whole_however_they_are_cut(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in prop::collection::vec(1..30_usize, 1..20),
            sealed in any::<bool>(),
        ) {
            let (mut writer, reader) = if sealed { let (a, b) = key_pair(); (Some(a), Some(b)) } else { (None, None) };
            let bytes = framed(&contents, &mut writer);
            let (mut inbox, mut at, mut got) = (inbox(reader), 0, Vec::new());
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(bytes.len());
                got.extend(read(&mut inbox, &bytes[at..end]).expect("well-formed"));
                at = end;
                if at == bytes.len() { break }
            }
            prop_assert_eq!(got, contents);
            prop_assert!(inbox.bytes.is_empty());
        }

        #[test]
        fn any_bytes_are_frames_or_refused(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut inbox = inbox(None);
            for chunk in chunks {
                match read(&mut inbox, &chunk) {
                    Ok(frames) => prop_assert!(frames.iter().all(|frame| frame.len() <= 1000)),
                    Err(_) => break,
                }
                prop_assert!(inbox.bytes.len() <= 1000 + HEADER + 60);
            }
        }

        #[test]
        fn one_changed_bit_breaks_a_sealed_frame(content in prop::collection::vec(any::<u8>(), 1..60), bit in any::<prop::sample::Index>()) {
            let (writer, reader) = key_pair();
            let mut bytes = framed(&[content], &mut Some(writer));
            let bit = bit.index(8 * (bytes.len() - HEADER)) + 8 * HEADER;
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&mut inbox(Some(reader)), &bytes), Err(Broken::WrongSeal));
        }
    }

    #[test]
    fn replayed_and_swapped_frames_are_refused() {
        let (writer, reader) = key_pair();
        let mut writer = Some(writer);
        let (first, second) = (framed(&[vec![1]], &mut writer), framed(&[vec![1]], &mut writer));
        let mut known = inbox(Some(reader));
        assert!(read(&mut known, &first).is_ok());
        assert_eq!(read(&mut known, &first), Err(Broken::WrongSeal));
        let (_, reader) = key_pair();
        assert_eq!(read(&mut inbox(Some(reader)), &second), Err(Broken::WrongSeal));
    }

    #[test]
    fn four_gigabytes_are_refused_by_their_header() {
        let mut inbox = inbox(None);
        let refused = read(&mut inbox, &[0xff; HEADER]);
        assert_eq!(refused, Err(Broken::TooLong { bytes: 0xffff_ffff, limit: 1000 }));
        assert!(inbox.bytes.capacity() < 1000);
    }

    #[test]
    fn stop_keeps_the_rest_for_later() {
        let bytes = framed(&[vec![1], vec![2], vec![3]], &mut None);
        let (mut inbox, mut seen) = (inbox(None), Vec::new());
        for fresh in [&bytes[..], &[], &[]] {
            inbox.feed(fresh);
            seen.push(inbox.next().expect("well-formed").expect("a frame")[0]);
        }
        assert_eq!(seen, [1, 2, 3]);
    }
}
