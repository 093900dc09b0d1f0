//! Frames: encoding and decoding.
//!
//! # State
//! A frame is the length of its content (four bytes, little-endian), and the content; on an encrypted connection
//! its encrypted form. A length above the limit is refused on arrival, before memory is allocated for it; buffers grow
//! as bytes arrive.

use std::ops::ControlFlow;

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

/// Received bytes that do not form a whole frame yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    partial: Vec<u8>,
}

impl Inbox {
    /// Adds `fresh` bytes and passes every whole frame to `each`, until it returns a break; keeps the rest.
    pub(crate) fn feed(
        &mut self,
        fresh: &[u8],
        limit: usize,
        key: &mut Option<FrameKey>,
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Broken>,
    ) -> Result<(), Broken> {
        let kept = !self.partial.is_empty();
        if kept {
            self.partial.extend_from_slice(fresh);
        }
        let bytes = if kept { &self.partial[..] } else { fresh };
        let mut used = 0;
        while let Some((content, end)) = next_frame(&bytes[used..], limit, key)? {
            let flow = each(content);
            used += end;
            if flow?.is_break() {
                break;
            }
        }
        if !kept {
            self.partial.extend_from_slice(&fresh[used..]);
        } else if used == self.partial.len() {
            self.partial.clear();
            self.partial.shrink_to(ROOM_KEPT);
        } else {
            self.partial.drain(..used);
        }
        Ok(())
    }

    /// Whether nothing is left over.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }
}

/// Returns the content of the first frame, and where the next begins; `None` until all of it has arrived.
fn next_frame<'a>(
    bytes: &'a [u8],
    limit: usize,
    key: &'a mut Option<FrameKey>,
) -> Result<Option<(&'a [u8], usize)>, Broken> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let len = u32::from_le_bytes(*header) as usize;
    if len > limit {
        return Err(Broken::TooLong { bytes: len, limit });
    }
    let sent_len = if key.is_some() { sealed_len(len) } else { len };
    let Some(sent) = rest.get(..sent_len) else { return Ok(None) };
    let content = match key {
        Some(key) => key.open(sent).ok_or(Broken::WrongSeal)?,
        None => sent,
    };
    Ok(Some((content, HEADER + sent_len)))
}

/// A frame of the handshake, which is short.
pub(crate) fn frame(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_le_bytes(), content].concat()
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

    fn read(inbox: &mut Inbox, fresh: &[u8], key: &mut Option<FrameKey>) -> Result<Vec<Vec<u8>>, Broken> {
        let mut frames = Vec::new();
        inbox.feed(fresh, 1000, key, |content| {
            frames.push(content.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
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
            let (mut writer, mut reader) = if sealed { let (a, b) = key_pair(); (Some(a), Some(b)) } else { (None, None) };
            let bytes = framed(&contents, &mut writer);
            let (mut inbox, mut at, mut got) = (Inbox::default(), 0, Vec::new());
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(bytes.len());
                got.extend(read(&mut inbox, &bytes[at..end], &mut reader).expect("well-formed"));
                at = end;
                if at == bytes.len() { break }
            }
            prop_assert_eq!(got, contents);
            prop_assert!(inbox.is_empty());
        }

        #[test]
        fn any_bytes_are_frames_or_refused(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut inbox = Inbox::default();
            for chunk in chunks {
                match read(&mut inbox, &chunk, &mut None) {
                    Ok(frames) => prop_assert!(frames.iter().all(|frame| frame.len() <= 1000)),
                    Err(_) => break,
                }
                prop_assert!(inbox.partial.len() <= 1000 + HEADER + 60);
            }
        }

        #[test]
        fn one_changed_bit_breaks_a_sealed_frame(content in prop::collection::vec(any::<u8>(), 1..60), bit in any::<prop::sample::Index>()) {
            let (writer, reader) = key_pair();
            let mut bytes = framed(&[content], &mut Some(writer));
            let bit = bit.index(8 * (bytes.len() - HEADER)) + 8 * HEADER;
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&mut Inbox::default(), &bytes, &mut Some(reader)), Err(Broken::WrongSeal));
        }
    }

    #[test]
    fn replayed_and_swapped_frames_are_refused() {
        let (writer, reader) = key_pair();
        let mut writer = Some(writer);
        let (first, second) = (framed(&[vec![1]], &mut writer), framed(&[vec![1]], &mut writer));
        let mut reader = Some(reader);
        let mut inbox = Inbox::default();
        assert!(read(&mut inbox, &first, &mut reader).is_ok());
        assert_eq!(read(&mut inbox, &first, &mut reader), Err(Broken::WrongSeal));
        let (_, reader) = key_pair();
        assert_eq!(read(&mut Inbox::default(), &second, &mut Some(reader)), Err(Broken::WrongSeal));
    }

    #[test]
    fn four_gigabytes_are_refused_by_their_header() {
        let mut inbox = Inbox::default();
        let refused = read(&mut inbox, &[0xff; HEADER], &mut None);
        assert_eq!(refused, Err(Broken::TooLong { bytes: 0xffff_ffff, limit: 1000 }));
        assert_eq!(inbox.partial.capacity(), 0);
    }

    #[test]
    fn stop_keeps_the_rest_for_later() {
        let bytes = framed(&[vec![1], vec![2], vec![3]], &mut None);
        let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
        for fresh in [&bytes[..], &[], &[]] {
            let each = |content: &[u8]| {
                seen.push(content[0]);
                Ok(ControlFlow::Break(()))
            };
            inbox.feed(fresh, 1000, &mut None, each).expect("well-formed");
        }
        assert_eq!(seen, [1, 2, 3]);
    }
}
