//! The contract of a connection within one process; threads act as the peer where a call has to wait.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::*;
use crate::Error;
use crate::ipc::operation::tests::{goes, passed, would_block};
use crate::pipe::{duplex, pipe, wait};

const MOMENT: Duration = Duration::from_millis(1);

/// A connection and the bare socket at its other end.
fn half_bare() -> (Connection, UnixStream) {
    let (ours, bare) = UnixStream::pair().expect("sockets");
    (Connection::from_fd(ours.into()).expect("a descriptor"), bare)
}

#[test]
fn values_and_bytes_go_both_ways_in_order() {
    let (mut one, mut other) = duplex().expect("a connection");
    one.send(&(1_u8, "two", [3.0])).expect("room");
    one.send_bytes(b"").expect("room");
    one.send_bytes(b"bytes").expect("room");
    assert_eq!(other.recv::<(u8, String, [f64; 1])>().expect("sent"), (1, "two".into(), [3.0]));
    assert_eq!(other.recv_bytes().expect("an empty message is a message"), b"");
    assert_eq!(other.recv_bytes().expect("sent"), b"bytes");
    other.send(&Some('x')).expect("room");
    assert_eq!(one.recv::<Option<char>>().expect("sent"), Some('x'));
}

#[test]
fn large_messages_arrive_whole() {
    let (mut receiver, mut sender) = pipe::<Vec<u8>>().expect("a pipe");
    let sizes = [4_091, 4_092, 4_093, 16_384, 65_536, 200_000, 5_000_000, 1];
    thread::scope(|scope| {
        scope.spawn(move || {
            for size in sizes {
                sender.send(&vec![size as u8; size]).expect("a receiver");
                sender.send_bytes(&vec![size as u8; size]).expect("a receiver");
            }
        });
        for size in sizes {
            assert!(receiver.recv().expect("sent") == vec![size as u8; size], "{size}");
            assert!(receiver.recv_bytes().expect("sent") == vec![size as u8; size], "{size}");
        }
        assert!(matches!(receiver.recv(), Err(Error::EndOfFile)));
    });
}

#[test]
fn end_of_file_comes_after_all_messages_and_stays() {
    let (mut receiver, mut sender) = pipe::<u32>().expect("a pipe");
    sender.send(&1).expect("room");
    sender.close();
    assert_eq!(receiver.recv().expect("sent before"), 1);
    for _ in 0..2 {
        assert!(receiver.poll(Some(Duration::ZERO)).expect("a look"), "the end is something to receive");
        assert!(matches!(receiver.try_recv(), Err(Error::EndOfFile)));
    }
    assert!(receiver.iter().next().is_none());
}

#[test]
fn end_inside_a_message_is_another_error() {
    for cut in [1, 3, 4, 5, 9] {
        let (mut connection, mut bare) = half_bare();
        bare.write_all(&b"\0\0\0\x06abcdef"[..cut]).expect("room");
        drop(bare);
        for _ in 0..2 {
            let ended = connection.recv_bytes().expect_err("it is cut off");
            assert!(matches!(ended, Error::EndOfFileInsideMessage { received } if received == cut), "{cut}: {ended}");
        }
    }
}

#[test]
fn send_to_nobody_is_a_broken_pipe() {
    let (receiver, mut sender) = pipe::<u32>().expect("a pipe");
    drop(receiver);
    assert!(matches!(sender.send(&1), Err(Error::BrokenPipe)));
    assert!(matches!(sender.send_timeout(&1, MOMENT), Err(Error::BrokenPipe)));
    let (mut one, other) = duplex().expect("a connection");
    drop(other);
    assert!(matches!(one.send(&1), Err(Error::BrokenPipe)));
}

#[test]
fn peer_that_leaves_our_message_unread_is_a_reset() {
    let (mut one, mut other) = duplex().expect("a connection");
    other.send(&1).expect("room");
    one.send(&2).expect("room");
    drop(other);
    assert_eq!(one.recv::<i32>().expect("sent before"), 1);
    assert!(matches!(one.recv::<i32>(), Err(Error::ConnectionReset)));
}

#[test]
fn wrong_use_of_an_untyped_end_is_an_error() {
    let (receiver, sender) = pipe::<u32>().expect("a pipe");
    let (mut receiving, mut sending) = (receiver.into_connection(), sender.into_connection());
    assert!(matches!(receiving.send(&1), Err(Error::ReadOnly)));
    assert!(matches!(receiving.send_bytes(b""), Err(Error::ReadOnly)));
    assert!(matches!(sending.recv::<u32>(), Err(Error::WriteOnly)));
    assert!(matches!(sending.poll(None), Err(Error::WriteOnly)));
    let (reading, writing) = std::io::pipe().expect("a pipe");
    let mut reading = Connection::from_fd(reading.into()).expect("a descriptor");
    let mut writing = Connection::from_fd(writing.into()).expect("a descriptor");
    assert!(matches!(reading.send(&1), Err(Error::ReadOnly)));
    assert!(matches!(writing.recv_bytes(), Err(Error::WriteOnly)));
    writing.send_bytes(b"right").expect("room");
    assert_eq!(reading.recv_bytes().expect("sent"), b"right");
}

#[test]
fn part_of_a_buffer_is_checked() {
    let (mut receiver, mut sender) = pipe::<()>().expect("a pipe");
    for (offset, size, sent) in
        [(0, None, "abcdef"), (2, None, "cdef"), (6, None, ""), (1, Some(2), "bc"), (6, Some(0), "")]
    {
        sender.send_bytes_part(b"abcdef", offset, size).expect("in range");
        assert_eq!(receiver.recv_bytes().expect("sent"), sent.as_bytes());
    }
    for (offset, size) in [(7, None), (0, Some(7)), (4, Some(3)), (7, Some(0)), (usize::MAX, Some(2))] {
        let refused = sender.send_bytes_part(b"abcdef", offset, size);
        assert!(matches!(refused, Err(Error::BadRange { len: 6, .. })), "{offset} {size:?}");
    }
    assert!(!receiver.poll(Some(Duration::ZERO)).expect("a look"), "nothing was sent");
}

#[test]
fn message_above_the_maximum_ends_the_receiving() {
    let (mut receiver, mut sender) = pipe::<()>().expect("a pipe");
    sender.send_bytes(b"four").expect("room");
    sender.send_bytes(b"fives").expect("room");
    assert_eq!(receiver.recv_bytes_max(4).expect("it fits"), b"four");
    for max in [4, 100] {
        let refused = receiver.recv_bytes_max(max);
        assert!(matches!(refused, Err(Error::BadMessageLength { announced: 5, limit: 4 })));
    }
    assert!(receiver.poll(None).expect("no wait"), "the error is something to receive");
}

#[test]
fn length_that_is_none_is_refused() {
    let (mut connection, mut bare) = half_bare();
    bare.write_all(&(-2_i32).to_be_bytes()).expect("room");
    assert!(matches!(connection.recv_bytes(), Err(Error::BadMessageLength { announced: -2, .. })));
}

#[test]
fn limit_holds_for_both_directions() {
    let (mut one, mut other) = duplex().expect("a connection");
    one.set_message_limit(3);
    assert!(matches!(one.send_bytes(b"four"), Err(Error::TooLong { bytes: 4, limit: 3 })));
    assert!(matches!(one.send("four"), Err(Error::TooLong { bytes: 6, limit: 3 })));
    assert!(!other.poll(Some(Duration::ZERO)).expect("a look"), "nothing was sent");
    other.send_bytes(b"four").expect("room");
    assert!(matches!(one.recv_bytes(), Err(Error::BadMessageLength { announced: 4, limit: 3 })));
}

#[test]
fn buffer_that_is_too_short_costs_no_message() {
    let (mut receiver, mut sender) = pipe::<()>().expect("a pipe");
    for message in [&b"abc"[..], b"defgh", b""] {
        sender.send_bytes(message).expect("room");
    }
    let mut buffer = [b'.'; 5];
    assert_eq!(receiver.recv_bytes_into(&mut buffer, 2).expect("it fits"), 3);
    assert_eq!(&buffer, b"..abc");
    assert!(matches!(receiver.recv_bytes_into(&mut buffer, 6), Err(Error::BadRange { .. })));
    let Err(Error::BufferTooShort { message, room: 4 }) = receiver.recv_bytes_into(&mut buffer, 1) else {
        panic!("five bytes do not fit into four")
    };
    assert_eq!(message, b"defgh");
    assert_eq!(receiver.recv_bytes_into(&mut buffer, 5).expect("nothing fits into nothing"), 0);
    assert_eq!(&buffer, b"..abc");
}

#[test]
fn message_of_another_type_is_an_error_and_the_next_one_comes() {
    let (mut one, mut other) = duplex().expect("a connection");
    one.send("text").expect("room");
    one.send(&(1_u8, 2_u8)).expect("room");
    one.send(&7_u8).expect("room");
    assert!(matches!(other.recv::<bool>(), Err(Error::Codec { .. })));
    assert!(matches!(other.recv::<u8>(), Err(Error::Codec { .. })), "a pair is no number");
    assert_eq!(other.recv::<u8>().expect("sent"), 7);
}

#[test]
fn value_without_a_form_sends_nothing() {
    struct Formless;
    impl Serialize for Formless {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("has none"))
        }
    }
    let (mut one, mut other) = duplex().expect("a connection");
    assert!(matches!(one.send(&(1, Formless)), Err(Error::Codec { .. })));
    one.send(&1).expect("room");
    assert_eq!(other.recv::<i32>().expect("sent"), 1);
}

#[test]
fn receive_that_times_out_inside_a_message_goes_on() {
    let (mut connection, mut bare) = half_bare();
    for piece in [&b"\0\0"[..], b"\0\x05", b"ab"] {
        bare.write_all(piece).expect("room");
        assert_eq!(connection.recv_bytes_timeout(MOMENT).expect("no error"), None);
    }
    bare.write_all(b"cde\0\0\0\x01f").expect("room");
    assert_eq!(connection.recv_bytes_timeout(Duration::ZERO).expect("no error"), Some(b"abcde".to_vec()));
    assert_eq!(connection.recv_bytes_timeout(Duration::MAX).expect("no error"), Some(b"f".to_vec()));
}

#[test]
fn send_times_out_and_sends_nothing_of_a_short_message() {
    let (mut receiver, mut sender) = pipe::<[u8; 32]>().expect("a pipe");
    let mut sent = 0;
    while sender.send_timeout(&[sent as u8; 32], Duration::ZERO).expect("a receiver") {
        sent += 1;
    }
    assert!(!sender.send_timeout(&[0; 32], MOMENT).expect("a receiver"));
    assert!(sent > 100);
    for number in 0..sent {
        assert_eq!(receiver.try_recv().expect("whole messages"), Some([number as u8; 32]));
    }
    assert_eq!(receiver.try_recv().expect("whole messages"), None);
}

#[test]
fn send_that_times_out_inside_a_message_is_finished_later() {
    for (mut receiver, mut sender) in
        [pipe::<Vec<u8>>().map(|(receiver, sender)| (receiver.into_connection(), sender.into_connection())), duplex()]
            .map(|pair| pair.expect("a pair"))
    {
        let long = vec![5; 1_000_000];
        let Err(Error::HalfSent { sent, bytes }) = sender.send_bytes_timeout(&long, MOMENT) else {
            panic!("the kernel does not hold a million bytes")
        };
        assert_eq!(bytes, long.len() + 4);
        assert!(0 < sent && sent < bytes);
        assert!(!sender.flush_timeout(MOMENT).expect("a receiver"));
        assert!(!sender.send_timeout(&1, MOMENT).expect("a receiver"), "nothing passes the rest");
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(receiver.recv_bytes().expect("whole") == vec![5; 1_000_000]);
                assert_eq!(receiver.recv::<u8>().expect("whole"), 2);
            });
            sender.send(&2_u8).expect("a receiver");
        });
        assert!(sender.flush_timeout(Duration::ZERO).expect("nothing is left"));
    }
}

#[test]
fn poll_knows_what_was_read_ahead() {
    let (mut receiver, mut sender) = pipe::<u8>().expect("a pipe");
    assert!(!receiver.poll(Some(Duration::ZERO)).expect("a look"));
    assert!(!receiver.poll(Some(MOMENT)).expect("a wait"));
    sender.send(&1).expect("room");
    sender.send(&2).expect("room");
    assert!(receiver.poll(None).expect("something is there"));
    assert_eq!(receiver.recv().expect("sent"), 1);
    assert!(receiver.poll(None).expect("read ahead"));
    assert_eq!(wait(&[&receiver], None).expect("read ahead"), [0]);
    assert_eq!(receiver.recv().expect("sent"), 2);
    assert!(!receiver.poll(Some(Duration::ZERO)).expect("a look"));
    assert_eq!(wait(&[&receiver], Some(MOMENT)).expect("a wait"), [0; 0]);
}

#[test]
fn wait_names_all_that_are_ready() {
    let (receiver, mut sender) = pipe::<u8>().expect("a pipe");
    let (mut read_ahead, mut its_sender) = pipe::<u8>().expect("a pipe");
    let (idle, _other) = duplex().expect("a connection");
    let (ended, gone) = duplex().expect("a connection");
    sender.send(&1).expect("room");
    its_sender.send(&1).expect("room");
    its_sender.send(&2).expect("room");
    read_ahead.recv().expect("sent");
    drop(gone);
    assert_eq!(wait(&[&idle, &receiver, &read_ahead, &ended], None).expect("ready"), [1, 2, 3]);
    assert_eq!(wait(&[&idle], Some(MOMENT)).expect("a wait"), [0; 0]);
    assert_eq!(wait(&[], None).expect("nothing to wait for"), [0; 0]);
    drop(receiver);
    assert_eq!(wait(&[&idle, &sender], None).expect("a sender is ready when nobody receives"), [1]);
}

#[test]
fn connection_writes_pythons_frames() {
    let (mut connection, mut bare) = half_bare();
    connection.send_bytes(b"abc").expect("room");
    connection.send_bytes(b"").expect("room");
    connection.send(&true).expect("room");
    let mut bytes = [0; 16];
    bare.read_exact(&mut bytes).expect("sixteen bytes");
    assert_eq!(&bytes, b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01\x04");
}

#[test]
fn descriptor_in_nonblocking_mode_waits_all_the_same() {
    let (mut connection, mut bare) = half_bare();
    // The mode belongs to the open file: set here, it holds for the connection's descriptor too.
    UnixStream::from(connection.as_fd().try_clone_to_owned().expect("a copy")).set_nonblocking(true).expect("a socket");
    thread::scope(|scope| {
        scope.spawn(|| {
            bare.write_all(b"\0\0\0\x01x").expect("room");
            let mut all = vec![0; 1_000_004];
            bare.read_exact(&mut all).expect("a message");
        });
        assert_eq!(connection.recv_bytes().expect("sent"), b"x");
        connection.send_bytes(&vec![0; 1_000_000]).expect("it is read");
    });
}

#[test]
fn every_operation_passes_one_point() {
    let (receiver, mut sender) = pipe::<u8>().expect("a pipe");
    let soon = Duration::from_secs(1);
    let mut one = receiver.into_connection();
    let object = *one.object.id;
    would_block("pipe.recv", &object, || one.recv::<u8>());
    would_block("pipe.recv", &object, || one.recv_bytes());
    let another = sender.try_clone().expect("nothing is half sent");
    assert_eq!(passed(|| drop(another)).1, [], "its end stays open");
    would_block("pipe.recv_timeout", &object, || one.recv_timeout::<u8>(soon));
    would_block("pipe.poll", &object, || one.poll(None));
    would_block("pipe.poll_timeout", &object, || one.poll(Some(soon)));
    assert!(!goes("pipe.try_poll", &object, || one.poll(Some(Duration::ZERO))).expect("no error"));
    assert_eq!(goes("pipe.try_recv", &object, || one.try_recv::<u8>()).expect("no error"), None);
    goes("pipe.send", &object, || sender.send(&7)).expect("room");
    assert!(goes("pipe.send_timeout", &object, || sender.send_timeout(&8, soon)).expect("room"));
    assert_eq!(goes("pipe.recv", &object, || one.recv::<u8>()).expect("a message"), 7);
    assert!(goes("pipe.poll", &object, || one.poll(None)).expect("another"));
    assert_eq!(goes("pipe.recv_timeout", &object, || one.recv_timeout::<u8>(soon)).expect("no error"), Some(8));
    while sender.send_bytes_timeout(&[0; 4092], Duration::ZERO).expect("no error") {}
    would_block("pipe.send", &object, || sender.send(&9));
    assert!(!goes("pipe.try_send", &object, || sender.send_timeout(&9, Duration::ZERO)).expect("no error"));
    goes("pipe.close", &object, || one.close());
    goes("pipe.send", &object, || sender.send(&9)).expect_err("no receiver is left");
}
