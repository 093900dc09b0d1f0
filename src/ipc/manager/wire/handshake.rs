//! The handshake: mutual authentication by the common key, and agreement on keys for the connection.
//!
//! # State
//! Four frames: the client's hello (the protocol's name, and the first Noise message); the server's answer (the second,
//! with its frame limit), or why it refuses; the client's confirmation; the server's welcome. The last two are empty
//! and encrypted. A hello can be replayed, a confirmation cannot: its key depends on both sides' fresh keys. So only
//! the confirmation makes the peer a client. The kind of connection is part of the agreement: nothing can be replayed
//! from one kind to the other. There is one set of algorithms and no negotiation.
//!
//! The client proves itself first: the server tells a stranger nothing that depends on the key, except whether it was
//! right.
//!
//! # Standard
//! The Noise Protocol Framework, revision 34: `Noise_NNpsk0_25519_AESGCM_BLAKE2s`. It has forward secrecy: a key
//! that leaks later does not decrypt recorded traffic.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use snow::{Builder, HandshakeState};

use super::key::AuthKey;
use super::seal::{FrameKey, TAG};
use crate::ipc::error::{Result, os};
use crate::ipc::manager::error::ManagerError;

/// The protocol's name and version, before the first Noise message.
const PROTOCOL: &[u8; 8] = b"ipcdemo4";
const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_BLAKE2s";
/// A fresh public key, and the tag of an empty payload.
const FIRST: usize = 32 + TAG;
/// Length of the frame limit: the payload of the second message.
const LIMIT: usize = 4;
const SECOND: usize = 32 + LIMIT + TAG;

/// The kind of connection: over TCP others could read and modify it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

/// Why a server refused a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The peer speaks another protocol, or another version of this one.
    OtherProtocol,
    WrongKey,
    /// The peer did not finish the handshake in time.
    TooSlow,
    /// The peer disconnected.
    Closed,
}

impl Refused {
    /// The frame that tells the client, if there is a reason to tell.
    pub(crate) fn frame(self) -> Option<[u8; 1]> {
        match self {
            Refused::OtherProtocol => Some([1]),
            Refused::WrongKey => Some([2]),
            Refused::TooSlow | Refused::Closed => None,
        }
    }
}

/// What both sides know when both have authenticated.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// The longest frame that the server accepts.
    pub(crate) frame_limit: usize,
    /// The keys for sending and for receiving. `None` where frames are not encrypted: on a Unix socket, which the kernel
    /// protects.
    pub(crate) sealing: Option<FrameKey>,
    pub(crate) opening: Option<FrameKey>,
}

/// Starts a handshake.
fn begin(transport: Transport, key: &AuthKey, is_client: bool) -> HandshakeState {
    let transport = match transport {
        Transport::Unix => b'u',
        Transport::Tcp => b't',
    };
    let (psk, prologue) = (key.psk(), [PROTOCOL.as_slice(), &[transport]].concat());
    let build = || {
        let builder = Builder::new(PATTERN.parse()?).prologue(&prologue)?.psk(0, &psk)?;
        if is_client { builder.build_initiator() } else { builder.build_responder() }
    };
    build().expect("the pattern is known, and needs nothing but a pre-shared key")
}

/// The state of one side after the server's answer: the client has yet to confirm that it is not a replay.
#[derive(Debug)]
pub(crate) struct Answered {
    transport: Transport,
    frame_limit: u32,
    sealing: FrameKey,
    opening: FrameKey,
}

impl Answered {
    fn new(finished: HandshakeState, transport: Transport, frame_limit: u32) -> Self {
        let state = finished.into_stateless_transport_mode().expect("both messages have been exchanged");
        let state = Arc::new(state);
        Answered { transport, frame_limit, sealing: FrameKey::new(Arc::clone(&state)), opening: FrameKey::new(state) }
    }

    /// Encrypts an empty message, which proves that its sender has the keys.
    fn proof(&mut self) -> Vec<u8> {
        let mut proof = Vec::new();
        self.sealing.seal(&mut proof, 0);
        proof
    }

    fn is_proof(&mut self, frame: &[u8]) -> bool {
        self.opening.open(frame) == Some(&[])
    }

    /// The welcome to a connection whose frames are encrypted if necessary.
    fn welcome(self) -> Welcome {
        let keys = (self.transport == Transport::Tcp).then_some((self.sealing, self.opening));
        let (sealing, opening) = keys.unzip();
        Welcome { frame_limit: self.frame_limit as usize, sealing, opening }
    }

    /// Checks the client's confirmation, on the server's side. Returns the last frame to send too.
    pub(crate) fn finish(mut self, confirmation: &[u8]) -> std::result::Result<(Vec<u8>, Welcome), Refused> {
        if confirmation.len() != TAG {
            return Err(Refused::OtherProtocol);
        }
        if !self.is_proof(confirmation) {
            return Err(Refused::WrongKey);
        }
        Ok((self.proof(), self.welcome()))
    }
}

/// Why a handshake between a client and a manager failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The manager has another key.
    #[error("the manager refused the key")]
    KeyRefused,
    /// The peer has another key: it is not the manager.
    #[error("the manager could not prove that it has the key")]
    KeyNotProved,
    /// The manager closed the connection: it exited, or the handshake timed out.
    #[error("the manager closed the connection during the handshake: it has exited, or is too busy")]
    Closed,
    /// The peer uses another protocol.
    #[error("the other side is not a manager, or one of another version")]
    NoManager,
}

/// Authenticates as a client. `exchange` sends a frame and returns the server's next one.
pub(crate) fn initiate(
    transport: Transport,
    key: &AuthKey,
    mut exchange: impl FnMut(&[u8]) -> Result<Vec<u8>>,
) -> Result<Welcome> {
    let mut state = begin(transport, key, true);
    let mut hello = [PROTOCOL.as_slice(), &[0; FIRST]].concat();
    let written = state.write_message(&[], &mut hello[PROTOCOL.len()..]);
    written.map_err(io::Error::other).map_err(os("get random bytes"))?;
    let answer = exchange(&hello)?;
    check(&answer, SECOND)?;
    let mut limit = [0; LIMIT];
    state.read_message(&answer, &mut limit).map_err(|_| not_proved())?;
    let mut answered = Answered::new(state, transport, u32::from_le_bytes(limit));
    let last = exchange(&answered.proof())?;
    check(&last, TAG)?;
    if !answered.is_proof(&last) {
        return Err(not_proved().into());
    }
    Ok(answered.welcome())
}

fn not_proved() -> ManagerError {
    HandshakeError::KeyNotProved.into()
}

/// Checks that a frame of the server is not a refusal, and has this length.
fn check(frame: &[u8], len: usize) -> std::result::Result<(), ManagerError> {
    if Refused::WrongKey.frame().is_some_and(|refusal| frame == refusal) {
        return Err(HandshakeError::KeyRefused.into());
    }
    if frame.len() == len { Ok(()) } else { Err(HandshakeError::NoManager.into()) }
}

/// Answers a client's hello. Returns the frame to send too.
pub(crate) fn answer(
    transport: Transport,
    key: &AuthKey,
    frame_limit: usize,
    hello: &[u8],
) -> std::result::Result<(Vec<u8>, Answered), Refused> {
    let hello = hello.strip_prefix(PROTOCOL).filter(|hello| hello.len() == FIRST).ok_or(Refused::OtherProtocol)?;
    let mut state = begin(transport, key, false);
    state.read_message(hello, &mut []).map_err(|_| Refused::WrongKey)?;
    let limit = u32::try_from(frame_limit).unwrap_or(u32::MAX);
    let mut answer = vec![0; SECOND];
    // Without random bytes no handshake can succeed.
    state.write_message(&limit.to_le_bytes(), &mut answer).map_err(|_| Refused::OtherProtocol)?;
    Ok((answer, Answered::new(state, transport, limit)))
}

#[cfg(test)]
mod tests {
    use super::super::frame::HANDSHAKE_LIMIT;
    use super::*;
    use crate::Error;
    use proptest::prelude::*;

    fn key(bytes: &[u8]) -> AuthKey {
        AuthKey::new(bytes).expect("not empty")
    }

    /// Runs the client's side against a server that sends these frames. Returns the client's frames too.
    fn against(transport: Transport, key: &AuthKey, server: &[&[u8]]) -> (Vec<Vec<u8>>, Result<Welcome>) {
        let (mut sent, mut server) = (Vec::new(), server.iter());
        let welcome = initiate(transport, key, |frame| {
            assert!(frame.len() <= HANDSHAKE_LIMIT);
            sent.push(frame.to_vec());
            Ok(server.next().ok_or(ManagerError::Handshake(HandshakeError::Closed))?.to_vec())
        });
        (sent, welcome)
    }

    fn hello(transport: Transport, key: &AuthKey) -> Vec<u8> {
        against(transport, key, &[]).0.remove(0)
    }

    fn reason(welcome: Result<Welcome>) -> HandshakeError {
        match welcome {
            Err(Error::Manager(ManagerError::Handshake(error))) => error,
            other => panic!("{other:?}"),
        }
    }

    /// A handshake from its beginning to its end: all frames, and both sides' outcome.
    struct Handshake {
        sent: Vec<Vec<u8>>,
        answers: Vec<Vec<u8>>,
        server: std::result::Result<Welcome, Refused>,
        client: Result<Welcome>,
    }

    fn shake_hands(server_key: &AuthKey, client_key: &AuthKey, [server, client]: [Transport; 2]) -> Handshake {
        let (mut sent, mut answers, mut answered) = (Vec::new(), Vec::new(), None);
        let mut outcome = Err(Refused::OtherProtocol);
        let client = initiate(client, client_key, |frame| {
            sent.push(frame.to_vec());
            let next = match answered.take() {
                None => answer(server, server_key, 1000, frame).map(|(next, state)| {
                    answered = Some(state);
                    next
                }),
                Some(state) => Answered::finish(state, frame).map(|(next, welcome)| {
                    outcome = Ok(welcome);
                    next
                }),
            };
            let next = next.unwrap_or_else(|refused| {
                outcome = Err(refused);
                refused.frame().expect("a reason").to_vec()
            });
            assert!(frame.len() <= HANDSHAKE_LIMIT && next.len() <= HANDSHAKE_LIMIT);
            answers.push(next.clone());
            Ok(next)
        });
        Handshake { sent, answers, server: outcome, client }
    }

    #[test]
    fn both_prove_the_same_key() {
        let key = key(b"secret");
        let Handshake { server, client, .. } = shake_hands(&key, &key, [Transport::Tcp; 2]);
        let keys = |welcome: Welcome| (welcome.sealing.expect("TCP"), welcome.opening.expect("TCP"));
        let (_, mut server_opening) = keys(server.expect("welcome"));
        let (mut client_sealing, mut client_opening) = keys(client.expect("welcome"));
        let mut call = b"call".to_vec();
        client_sealing.seal(&mut call, 0);
        assert!(!call.starts_with(b"call"), "nobody else can read it");
        assert_eq!(client_opening.open(&call), None, "another direction, another key");
        assert_eq!(server_opening.open(&call), Some(&b"call"[..]));
        let client = shake_hands(&key, &key, [Transport::Unix; 2]).client.expect("welcome");
        assert!(client.sealing.is_none() && client.opening.is_none());
        assert_eq!(client.frame_limit, 1000);
    }

    #[test]
    fn another_key_is_refused_and_told_so() {
        let Handshake { server, client, .. } = shake_hands(&key(b"secret"), &key(b"secreT"), [Transport::Unix; 2]);
        assert_eq!(server.expect_err("refused"), Refused::WrongKey);
        assert_eq!(reason(client), HandshakeError::KeyRefused);
    }

    #[test]
    fn hello_of_another_transport_is_refused() {
        let key = key(b"secret");
        let server = shake_hands(&key, &key, [Transport::Tcp, Transport::Unix]).server;
        assert_eq!(server.expect_err("refused"), Refused::WrongKey);
    }

    #[test]
    fn reflected_replayed_and_changed_frames_are_refused() {
        let key = key(b"secret");
        let answer = |hello: &[u8]| answer(Transport::Unix, &key, 9, hello);
        let Handshake { sent, answers, server, .. } = shake_hands(&key, &key, [Transport::Unix; 2]);
        assert!(server.is_ok());
        let ([first, confirmation], [second, last]) = (&sent[..], &answers[..]) else { panic!("two frames each") };
        // A replayed client: its hello is answered, but its confirmation is not the one of this connection.
        let (_, later) = answer(first).expect("a hello");
        assert_eq!(later.finish(confirmation).expect_err("replayed"), Refused::WrongKey);
        // The server's own frames, sent back to it.
        let (_, other) = answer(first).expect("a hello");
        assert_eq!(other.finish(last).expect_err("reflected"), Refused::WrongKey);
        let reflected = [PROTOCOL.as_slice(), &second[..FIRST]].concat();
        assert_eq!(answer(&reflected).expect_err("reflected"), Refused::WrongKey);
        // A server that only replays another's frames, or reflects the client's.
        let client = |server: &[&[u8]]| reason(against(Transport::Unix, &key, server).1);
        assert_eq!(client(&[second, last]), HandshakeError::KeyNotProved);
        for from in [0, PROTOCOL.len()] {
            let mirrored = initiate(Transport::Unix, &key, |own| Ok(own[from..].to_vec()));
            assert!(matches!(reason(mirrored), HandshakeError::NoManager | HandshakeError::KeyNotProved));
        }
        // Or modifies anything in transit, the limit included.
        for at in 0..SECOND {
            let changed = initiate(Transport::Unix, &key, |first| {
                let (mut changed, _) = answer(first).expect("a hello");
                changed[at] ^= 1;
                Ok(changed)
            });
            assert_eq!(reason(changed), HandshakeError::KeyNotProved, "byte {at}");
        }
        let mut answered = None;
        let changed = initiate(Transport::Unix, &key, |frame| {
            let (mut next, state) = match answered.take() {
                None => answer(frame).map(|(next, state)| (next, Some(state))).expect("a hello"),
                Some(state) => Answered::finish(state, frame).map(|(next, _)| (next, None)).expect("the confirmation"),
            };
            next[3] ^= u8::from(state.is_none());
            answered = state;
            Ok(next)
        });
        assert_eq!(reason(changed), HandshakeError::KeyNotProved);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_frames_but_the_right_ones_are_welcome(
            frames in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..HANDSHAKE_LIMIT),
                prop::collection::vec(any::<u8>(), FIRST).prop_map(|first| [PROTOCOL.as_slice(), &first].concat()),
                prop::collection::vec(any::<u8>(), SECOND),
                prop::collection::vec(any::<u8>(), TAG),
            ], 1..3),
            is_after_the_answer in any::<bool>(),
        ) {
            let key = key(b"secret");
            let mut frame = frames.iter();
            let client = initiate(Transport::Tcp, &key, |sent| match sent.len() {
                TAG => Ok(frame.next().cloned().unwrap_or_default()),
                _ if is_after_the_answer => Ok(answer(Transport::Tcp, &key, 1000, sent).expect("a hello").0),
                _ => Ok(frame.next().cloned().unwrap_or_default()),
            });
            prop_assert!(client.is_err());
            for frame in &frames {
                prop_assert!(answer(Transport::Tcp, &key, 1000, frame).is_err());
                let (_, answered) = answer(Transport::Tcp, &key, 1000, &hello(Transport::Tcp, &key)).expect("a hello");
                prop_assert!(answered.finish(frame).is_err());
            }
        }
    }
}
