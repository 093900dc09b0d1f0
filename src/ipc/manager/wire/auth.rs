//! How both sides prove to each other that they have the key, without showing it.
//!
//! # State
//! Four frames: the client's greeting with its nonce; the server's nonce; the client's proof; the server's proof, or why
//! it refuses. A proof is a code over what the protocol is, who speaks (client or server), over what kind of connection,
//! and both nonces: none can be replayed, reflected to its sender, or carried over to another connection. There is one
//! algorithm and nothing to negotiate, so nothing can be talked down.
//!
//! The client proves first: a server tells a stranger nothing that depends on the key.
//!
//! # Standard
//! HMAC-SHA-256 (RFC 2104); challenge and response with both identities as in ISO/IEC 9798-4. Python's is CVE-prone history:
//! MD5, a digest chosen by the peer, a comparison that leaks.

use hmac::Mac;

use super::key::AuthKey;
use super::seal::{Seal, Seals};

const GREETING: &[u8; 8] = b"ipcdemo1";
const NONCE: usize = 32;
const PROOF: usize = 32;
const WELCOME: u8 = 0;

/// What the connection is: over TCP others could write into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

/// Why a server turned somebody away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it does not speak this protocol, or another version of it")]
    OtherProtocol,
    #[error("it does not have the key")]
    WrongKey,
}

/// What both sides know when each has proved itself.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// The longest frame that the server takes.
    pub(crate) frame_limit: usize,
    pub(crate) seals: Option<Seals>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seals")
    }
}

/// Both nonces and the kind of the connection: what every proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transcript {
    transport: Transport,
    client: [u8; NONCE],
    server: [u8; NONCE],
}

impl Transcript {
    fn code(&self, key: &AuthKey, role: u8, more: &[u8]) -> hmac::Hmac<sha2::Sha256> {
        let transport = match self.transport {
            Transport::Unix => b'u',
            Transport::Tcp => b't',
        };
        // Every part but the last has a fixed length: no two transcripts read the same.
        let mac = key.mac().chain_update(GREETING).chain_update([role, transport]);
        mac.chain_update(self.client).chain_update(self.server).chain_update(more)
    }

    fn seals(&self, key: &AuthKey) -> Option<Seals> {
        let direction = |role| Seal::new(&self.code(key, role, &[]).finalize().into_bytes());
        (self.transport == Transport::Tcp).then(|| Seals { to_server: direction(b'>'), to_client: direction(b'<') })
    }
}

/// The client's side.
#[derive(Debug)]
pub(crate) struct Asking {
    transport: Transport,
    nonce: [u8; NONCE],
    transcript: Option<Transcript>,
}

/// What a client has to do next.
#[derive(Debug)]
pub(crate) enum Next {
    Send(Vec<u8>),
    Done(Box<Welcome>),
}

/// Why a greeting between a client and a manager came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwelcome {
    /// The manager has another key.
    #[error("the manager refused the key")]
    KeyRefused,
    /// Whoever answers has another key: it is not the manager.
    #[error("the manager could not prove that it has the key")]
    KeyNotProved,
    /// What answers speaks another protocol.
    #[error("the other side is no manager, or one of another version")]
    NoManager,
}

impl Asking {
    /// Begins with a fresh random nonce; the second is the first frame to send.
    pub(crate) fn new(transport: Transport, nonce: [u8; NONCE]) -> (Self, Vec<u8>) {
        let greeting = [GREETING.as_slice(), &nonce].concat();
        (Asking { transport, nonce, transcript: None }, greeting)
    }

    /// Takes the server's next frame.
    pub(crate) fn take(&mut self, key: &AuthKey, frame: &[u8]) -> Result<Next, Unwelcome> {
        match (self.transcript, frame) {
            (None, nonce) if nonce.len() == NONCE => {
                let server = nonce.try_into().map_err(|_| Unwelcome::NoManager)?;
                let transcript = Transcript { transport: self.transport, client: self.nonce, server };
                self.transcript = Some(transcript);
                Ok(Next::Send(transcript.code(key, b'c', &[]).finalize().into_bytes().to_vec()))
            }
            (Some(transcript), [WELCOME, limit_and_proof @ ..]) => {
                let (limit, proof) = limit_and_proof.split_first_chunk::<4>().ok_or(Unwelcome::NoManager)?;
                let proved = transcript.code(key, b's', limit).verify_slice(proof);
                proved.map_err(|_| Unwelcome::KeyNotProved)?;
                let frame_limit = u32::from_le_bytes(*limit) as usize;
                Ok(Next::Done(Box::new(Welcome { frame_limit, seals: transcript.seals(key) })))
            }
            (Some(_), [why]) if *why == Refused::WrongKey.code() => Err(Unwelcome::KeyRefused),
            _ => Err(Unwelcome::NoManager),
        }
    }
}

impl Refused {
    fn code(self) -> u8 {
        match self {
            Refused::OtherProtocol => 1,
            Refused::WrongKey => 2,
        }
    }

    /// The frame that tells the client.
    pub(crate) fn frame(self) -> Vec<u8> {
        vec![self.code()]
    }
}

/// The server's side, for one connection.
#[derive(Debug)]
pub(crate) struct Answering {
    transport: Transport,
    transcript: Option<Transcript>,
}

impl Answering {
    pub(crate) fn new(transport: Transport) -> Self {
        Answering { transport, transcript: None }
    }

    /// Takes the client's next frame, with a fresh random nonce. Returns the frame to send, and the welcome if that is it.
    pub(crate) fn take(
        &mut self,
        key: &AuthKey,
        frame: &[u8],
        nonce: [u8; NONCE],
        frame_limit: usize,
    ) -> Result<(Vec<u8>, Option<Welcome>), Refused> {
        let Some(transcript) = self.transcript else {
            let client = frame.strip_prefix(GREETING).and_then(|client| client.try_into().ok());
            let client = client.ok_or(Refused::OtherProtocol)?;
            self.transcript = Some(Transcript { transport: self.transport, client, server: nonce });
            return Ok((nonce.to_vec(), None));
        };
        if frame.len() != PROOF {
            return Err(Refused::OtherProtocol);
        }
        transcript.code(key, b'c', &[]).verify_slice(frame).map_err(|_| Refused::WrongKey)?;
        let limit = u32::try_from(frame_limit).unwrap_or(u32::MAX).to_le_bytes();
        let proof = transcript.code(key, b's', &limit).finalize().into_bytes();
        let welcome = Welcome { frame_limit, seals: transcript.seals(key) };
        Ok(([&[WELCOME], limit.as_slice(), &proof].concat(), Some(welcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::GREETING_LIMIT;
    use super::*;
    use proptest::prelude::*;

    fn key(bytes: &[u8]) -> AuthKey {
        AuthKey::new(bytes).expect("not empty")
    }

    /// Runs the greeting to its end; both sides' outcome.
    fn greet(
        server_key: &AuthKey,
        client_key: &AuthKey,
        transports: [Transport; 2],
    ) -> (Result<Welcome, Refused>, Result<Welcome, Unwelcome>) {
        let mut server = Answering::new(transports[0]);
        let (mut client, mut frame) = Asking::new(transports[1], [1; NONCE]);
        loop {
            assert!(frame.len() <= GREETING_LIMIT);
            let (answer, welcomed) = match server.take(server_key, &frame, [2; NONCE], 1000) {
                Ok(taken) => taken,
                Err(refused) => {
                    return (Err(refused), client.take(client_key, &refused.frame()).map(|_| unreachable!()));
                }
            };
            match (client.take(client_key, &answer), welcomed) {
                (Ok(Next::Send(next)), None) => frame = next,
                (Ok(Next::Done(welcome)), Some(server)) => return (Ok(server), Ok(*welcome)),
                (Err(failed), Some(server)) => return (Ok(server), Err(failed)),
                other => panic!("out of step: {other:?}"),
            }
        }
    }

    #[test]
    fn both_prove_the_same_key() {
        let key = key(b"secret");
        let (server, client) = greet(&key, &key, [Transport::Tcp; 2]);
        let (mut server, mut client) =
            (server.expect("welcome").seals.expect("TCP"), client.expect("welcome").seals.expect("TCP"));
        let tag = client.to_server.tag(b"call");
        assert!(server.to_server.check(b"call", &tag));
        assert!(!server.to_client.check(b"call", &tag), "another direction, another key");
        let (_, client) = greet(&key, &key, [Transport::Unix; 2]);
        let client = client.expect("welcome");
        assert!(client.seals.is_none());
        assert_eq!(client.frame_limit, 1000);
    }

    #[test]
    fn another_key_is_refused_and_told_so() {
        let (server, client) = greet(&key(b"secret"), &key(b"secreT"), [Transport::Unix; 2]);
        assert_eq!(server.expect_err("refused"), Refused::WrongKey);
        assert_eq!(client.expect_err("refused"), Unwelcome::KeyRefused);
    }

    #[test]
    fn proof_of_another_transport_is_refused() {
        let key = key(b"secret");
        let (server, _) = greet(&key, &key, [Transport::Tcp, Transport::Unix]);
        assert_eq!(server.expect_err("refused"), Refused::WrongKey);
    }

    #[test]
    fn reflected_and_replayed_proofs_are_refused() {
        let key = key(b"secret");
        let mut server = Answering::new(Transport::Unix);
        let (mut client, greeting) = Asking::new(Transport::Unix, [1; NONCE]);
        let (challenge, _) = server.take(&key, &greeting, [2; NONCE], 9).expect("a greeting");
        let Ok(Next::Send(proof)) = client.take(&key, &challenge) else { panic!("a proof comes next") };
        let (welcome, _) = server.take(&key, &proof, [3; NONCE], 9).expect("the proof");
        // The server's proof, sent back to it as a client's.
        let mut other = Answering::new(Transport::Unix);
        other.take(&key, &greeting, [2; NONCE], 9).expect("a greeting");
        assert!(matches!(other.take(&key, &welcome[5..], [0; NONCE], 9), Err(Refused::WrongKey)));
        // The client's proof again, when the server's nonce is another.
        let mut later = Answering::new(Transport::Unix);
        later.take(&key, &greeting, [4; NONCE], 9).expect("a greeting");
        assert!(matches!(later.take(&key, &proof, [0; NONCE], 9), Err(Refused::WrongKey)));
        // A server that only repeats what another said.
        let (mut again, _) = Asking::new(Transport::Unix, [5; NONCE]);
        again.take(&key, &challenge).expect("a nonce");
        assert_eq!(again.take(&key, &welcome).expect_err("stale"), Unwelcome::KeyNotProved);
        // Or changes the limit in it.
        let mut changed = welcome.clone();
        changed[1] ^= 1;
        assert_eq!(client.take(&key, &changed).expect_err("changed"), Unwelcome::KeyNotProved);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_frames_but_the_right_ones_are_welcome(
            frames in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..GREETING_LIMIT),
                prop::collection::vec(any::<u8>(), NONCE).prop_map(|nonce| [GREETING.as_slice(), &nonce].concat()),
                prop::collection::vec(any::<u8>(), PROOF),
            ], 0..5),
        ) {
            let key = key(b"secret");
            let mut server = Answering::new(Transport::Tcp);
            for frame in &frames {
                match server.take(&key, frame, [7; NONCE], 1000) {
                    Ok((_, welcome)) => prop_assert!(welcome.is_none()),
                    Err(_) => break,
                }
            }
            let (mut client, _) = Asking::new(Transport::Tcp, [1; NONCE]);
            for frame in &frames {
                match client.take(&key, frame) {
                    Ok(next) => prop_assert!(matches!(next, Next::Send(_))),
                    Err(_) => break,
                }
            }
        }
    }
}
