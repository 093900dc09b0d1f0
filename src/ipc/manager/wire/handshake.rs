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
}

/// The keys of a connection, for one side.
#[derive(Debug)]
struct Keys {
    sealing: FrameKey,
    opening: FrameKey,
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
fn begin(transport: Transport, key: &AuthKey, is_client: bool) -> Box<HandshakeState> {
    let transport = match transport {
        Transport::Unix => b'u',
        Transport::Tcp => b't',
    };
    let (psk, prologue) = (key.psk(), [PROTOCOL.as_slice(), &[transport]].concat());
    let build = || {
        let builder = Builder::new(PATTERN.parse()?).prologue(&prologue)?.psk(0, &psk)?;
        if is_client { builder.build_initiator() } else { builder.build_responder() }
    };
    Box::new(build().expect("the pattern is known, and needs nothing but a pre-shared key"))
}

impl Keys {
    fn new(finished: HandshakeState) -> Self {
        let state = finished.into_stateless_transport_mode().expect("both messages have been exchanged");
        let state = Arc::new(state);
        Keys { sealing: FrameKey::new(Arc::clone(&state)), opening: FrameKey::new(state) }
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
    fn welcome(self, transport: Transport, frame_limit: usize) -> Welcome {
        let keys = (transport == Transport::Tcp).then_some((self.sealing, self.opening));
        let (sealing, opening) = keys.unzip();
        Welcome { frame_limit, sealing, opening }
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

/// The client's side, until the server's answer.
pub(crate) struct Initiator {
    transport: Transport,
    state: Box<HandshakeState>,
}

/// The client's side, after its confirmation.
pub(crate) struct Confirmed {
    transport: Transport,
    keys: Keys,
    frame_limit: usize,
}

impl Initiator {
    /// Starts a handshake. The second value is the first frame to send.
    ///
    /// # Errors
    /// If the kernel provides no random bytes.
    pub(crate) fn new(transport: Transport, key: &AuthKey) -> io::Result<(Self, Vec<u8>)> {
        let mut state = begin(transport, key, true);
        let mut hello = [PROTOCOL.as_slice(), &[0; FIRST]].concat();
        state.write_message(&[], &mut hello[PROTOCOL.len()..]).map_err(io::Error::other)?;
        Ok((Initiator { transport, state }, hello))
    }

    /// Processes the server's answer. The second value is the next frame to send.
    pub(crate) fn confirm(mut self, answer: &[u8]) -> Result<(Confirmed, Vec<u8>), HandshakeError> {
        check(answer, SECOND)?;
        let mut limit = [0; LIMIT];
        self.state.read_message(answer, &mut limit).map_err(|_| HandshakeError::KeyNotProved)?;
        let mut keys = Keys::new(*self.state);
        let confirmation = keys.proof();
        Ok((
            Confirmed { transport: self.transport, keys, frame_limit: u32::from_le_bytes(limit) as usize },
            confirmation,
        ))
    }
}

impl Confirmed {
    /// Processes the server's last frame.
    pub(crate) fn finish(mut self, last: &[u8]) -> Result<Welcome, HandshakeError> {
        check(last, TAG)?;
        if self.keys.is_proof(last) {
            Ok(self.keys.welcome(self.transport, self.frame_limit))
        } else {
            Err(HandshakeError::KeyNotProved)
        }
    }
}

/// Checks that a frame of the server is not a refusal, and has this length.
fn check(frame: &[u8], len: usize) -> Result<(), HandshakeError> {
    if frame == Refused::WrongKey.frame() {
        return Err(HandshakeError::KeyRefused);
    }
    if frame.len() == len { Ok(()) } else { Err(HandshakeError::NoManager) }
}

impl Refused {
    /// The frame that tells the client.
    pub(crate) fn frame(self) -> [u8; 1] {
        match self {
            Refused::OtherProtocol => [1],
            Refused::WrongKey => [2],
        }
    }
}

/// The server's side of one connection's handshake.
pub(crate) struct Responder {
    transport: Transport,
    /// Set once it has answered the hello.
    keys: Option<Box<Keys>>,
}

impl Responder {
    pub(crate) fn new(transport: Transport) -> Self {
        Responder { transport, keys: None }
    }

    /// Processes the client's next frame. Returns the frame to send, and the welcome if the handshake is complete.
    pub(crate) fn take(
        &mut self,
        key: &AuthKey,
        frame: &[u8],
        frame_limit: usize,
    ) -> Result<(Vec<u8>, Option<Welcome>), Refused> {
        let Some(mut keys) = self.keys.take() else {
            let hello = frame.strip_prefix(PROTOCOL).filter(|hello| hello.len() == FIRST);
            let mut state = begin(self.transport, key, false);
            let hello = hello.ok_or(Refused::OtherProtocol)?;
            state.read_message(hello, &mut []).map_err(|_| Refused::WrongKey)?;
            let limit = u32::try_from(frame_limit).unwrap_or(u32::MAX).to_le_bytes();
            let mut answer = vec![0; SECOND];
            // Without random bytes no handshake can succeed.
            state.write_message(&limit, &mut answer).map_err(|_| Refused::OtherProtocol)?;
            self.keys = Some(Box::new(Keys::new(*state)));
            return Ok((answer, None));
        };
        if frame.len() != TAG {
            return Err(Refused::OtherProtocol);
        }
        if !keys.is_proof(frame) {
            return Err(Refused::WrongKey);
        }
        let last = keys.proof();
        Ok((last, Some(keys.welcome(self.transport, frame_limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::HANDSHAKE_LIMIT;
    use super::*;
    use proptest::prelude::*;

    fn key(bytes: &[u8]) -> AuthKey {
        AuthKey::new(bytes).expect("not empty")
    }

    fn hello(transport: Transport, key: &AuthKey) -> (Initiator, Vec<u8>) {
        Initiator::new(transport, key).expect("random bytes")
    }

    /// Runs the handshake to its end and returns both sides' outcome.
    fn shake_hands(
        server_key: &AuthKey,
        client_key: &AuthKey,
        transports: [Transport; 2],
    ) -> (Result<Welcome, Refused>, Result<Welcome, HandshakeError>) {
        let mut server = Responder::new(transports[0]);
        let (client, first) = hello(transports[1], client_key);
        assert!(first.len() <= HANDSHAKE_LIMIT);
        let answer = match server.take(server_key, &first, 1000) {
            Ok((answer, none)) => {
                assert!(none.is_none() && answer.len() <= HANDSHAKE_LIMIT);
                answer
            }
            Err(refused) => return (Err(refused), client.confirm(&refused.frame()).map(|_| unreachable!())),
        };
        let (client, confirmation) = match client.confirm(&answer) {
            Ok(confirmed) => confirmed,
            Err(failed) => return (Err(Refused::OtherProtocol), Err(failed)),
        };
        let (last, welcome) = server.take(server_key, &confirmation, 1000).expect("the confirmation");
        (Ok(welcome.expect("the end")), client.finish(&last))
    }

    #[test]
    fn both_prove_the_same_key() {
        let key = key(b"secret");
        let (server, client) = shake_hands(&key, &key, [Transport::Tcp; 2]);
        let keys = |welcome: Welcome| (welcome.sealing.expect("TCP"), welcome.opening.expect("TCP"));
        let (_, mut server_opening) = keys(server.expect("welcome"));
        let (mut client_sealing, mut client_opening) = keys(client.expect("welcome"));
        let mut call = b"call".to_vec();
        client_sealing.seal(&mut call, 0);
        assert!(!call.starts_with(b"call"), "nobody else can read it");
        assert_eq!(client_opening.open(&call), None, "another direction, another key");
        assert_eq!(server_opening.open(&call), Some(&b"call"[..]));
        let (_, client) = shake_hands(&key, &key, [Transport::Unix; 2]);
        let client = client.expect("welcome");
        assert!(client.sealing.is_none() && client.opening.is_none());
        assert_eq!(client.frame_limit, 1000);
    }

    #[test]
    fn another_key_is_refused_and_told_so() {
        let (server, client) = shake_hands(&key(b"secret"), &key(b"secreT"), [Transport::Unix; 2]);
        assert_eq!(server.expect_err("refused"), Refused::WrongKey);
        assert_eq!(client.expect_err("refused"), HandshakeError::KeyRefused);
    }

    #[test]
    fn hello_of_another_transport_is_refused() {
        let key = key(b"secret");
        let (server, _) = shake_hands(&key, &key, [Transport::Tcp, Transport::Unix]);
        assert_eq!(server.expect_err("refused"), Refused::WrongKey);
    }

    #[test]
    fn reflected_replayed_and_changed_frames_are_refused() {
        let key = key(b"secret");
        let mut server = Responder::new(Transport::Unix);
        let (client, first) = hello(Transport::Unix, &key);
        let (answer, _) = server.take(&key, &first, 9).expect("a hello");
        let (client, confirmation) = client.confirm(&answer).expect("the server's answer");
        let (last, welcomed) = server.take(&key, &confirmation, 9).expect("the confirmation");
        assert!(welcomed.is_some());
        // A replayed client: its hello is answered, but its confirmation is not the one of this connection.
        let mut later = Responder::new(Transport::Unix);
        let (_, welcomed) = later.take(&key, &first, 9).expect("a hello");
        assert!(welcomed.is_none(), "a hello alone makes nobody a client");
        assert!(matches!(later.take(&key, &confirmation, 9), Err(Refused::WrongKey)));
        // The server's own frames, sent back to it.
        let mut other = Responder::new(Transport::Unix);
        other.take(&key, &first, 9).expect("a hello");
        assert!(matches!(other.take(&key, &last, 9), Err(Refused::WrongKey)));
        let reflected = [PROTOCOL.as_slice(), &answer[..FIRST]].concat();
        assert!(matches!(Responder::new(Transport::Unix).take(&key, &reflected, 9), Err(Refused::WrongKey)));
        // A server that only replays another's frames, or reflects the client's.
        let refusal = |(client, _): (Initiator, Vec<u8>), answer: &[u8]| client.confirm(answer).err().expect("refused");
        assert_eq!(refusal(hello(Transport::Unix, &key), &answer), HandshakeError::KeyNotProved);
        for from in [0, PROTOCOL.len()] {
            let (mirrored, own) = hello(Transport::Unix, &key);
            assert!(mirrored.confirm(&own[from..]).is_err());
        }
        // Or modifies anything in transit, the limit included.
        for at in 0..SECOND {
            let (client, first) = hello(Transport::Unix, &key);
            let (mut changed, _) = Responder::new(Transport::Unix).take(&key, &first, 9).expect("a hello");
            changed[at] ^= 1;
            assert_eq!(refusal((client, first), &changed), HandshakeError::KeyNotProved, "byte {at}");
        }
        let mut changed = last;
        changed[3] ^= 1;
        assert_eq!(client.finish(&changed).expect_err("changed"), HandshakeError::KeyNotProved);
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
            ], 0..5),
            is_after_the_answer in any::<bool>(),
        ) {
            let key = key(b"secret");
            let (client, first) = hello(Transport::Tcp, &key);
            let mut server = Responder::new(Transport::Tcp);
            let frame = frames.first().map_or(&[][..], Vec::as_slice);
            if is_after_the_answer {
                let (answer, _) = server.take(&key, &first, 1000).expect("a hello");
                let (client, _) = client.confirm(&answer).expect("an answer");
                prop_assert!(client.finish(frame).is_err());
            } else {
                prop_assert!(client.confirm(frame).is_err());
            }
            for frame in &frames {
                match server.take(&key, frame, 1000) {
                    Ok((_, welcome)) => prop_assert!(welcome.is_none()),
                    Err(_) => break,
                }
            }
        }
    }
}
