//! Requests and answers.
//!
//! Every request has an id chosen by its client, and so has its answer: many may be pending at once, and answers arrive
//! as they become ready.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::{Broken, append_frame};
use super::seal::FrameKey;
use crate::ipc::manager::store::{Outcome, Request};

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToServer {
    /// Without one no answer is sent.
    pub(crate) id: Option<u64>,
    pub(crate) request: Request,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToClient {
    pub(crate) id: u64,
    pub(crate) result: Outcome,
}

/// Appends a message as a frame to `out`. If it is longer than `limit`, its length is the error.
pub(crate) fn encode<T: Serialize>(
    message: &T,
    out: &mut Vec<u8>,
    limit: usize,
    key: &mut Option<FrameKey>,
) -> Result<(), usize> {
    append_frame(out, limit, key, |out| {
        let written = postcard::to_extend(message, std::mem::take(out));
        *out = written.expect("messages hold nothing that has no serialised form");
    })
}

/// Decodes the message in a frame, which must contain nothing else.
pub(crate) fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, Broken> {
    match postcard::take_from_bytes(content) {
        Ok((message, [])) => Ok(message),
        _ => Err(Broken::NoMessage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::manager::data::{ObjectId, any_datum};
    use crate::ipc::manager::store::{Call, Method};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode::<ToServer>(&bytes);
            let _ = decode::<ToClient>(&bytes);
        }

        #[test]
        fn messages_come_back_and_no_part_of_one_is_one(args in prop::collection::vec(any_datum(), 0..4), id in any::<u64>()) {
            let call = Call { object: ObjectId(3), method: Method::SetItem, args, timeout: None, thread: 1 };
            let message = ToServer { id: Some(id), request: Request::Call(call) };
            let mut out = Vec::new();
            encode(&message, &mut out, 1 << 20, &mut None).expect("short");
            let content = &out[4..];
            prop_assert_eq!(decode::<ToServer>(content), Ok(message));
            prop_assert_eq!(decode::<ToServer>(&content[..content.len() - 1]), Err(Broken::NoMessage));
            let longer = [content, &[0]].concat();
            prop_assert_eq!(decode::<ToServer>(&longer), Err(Broken::NoMessage));
        }
    }

    #[test]
    fn message_above_the_limit_is_taken_back() {
        let mut out = vec![1, 2, 3];
        let message = ToServer { id: None, request: Request::Lookup("x".repeat(100)) };
        assert_eq!(encode(&message, &mut out, 50, &mut None), Err(103));
        assert_eq!(out, [1, 2, 3]);
    }
}
