//! Sockets to a syslog receiver (unix(7)): of any type, never waiting, with many records in one call.
//!
//! On `SOCK_DGRAM` and `SOCK_SEQPACKET` each record is a packet. On `SOCK_STREAM` each
//! record ends with a NUL, as syslog(3) sends it, and a write may take a part of one.

use super::super::std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use super::super::std::prelude::v1::*;
use crate::limits::LOG_BATCH;
use crate::ring::{Reader, Record, Ring};
use heapless::Vec;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    connect, send, socket, AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr,
};

/// Length of a record after a cut, for a receiver that refuses the whole (RFC 3164 asks for as much).
const SHORT_BYTES: usize = 1024;

const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// The end of a record on a stream.
const END: &[u8] = b"\0";

/// How a socket keeps records apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each is a packet.
    Packets,
    /// Each ends with a NUL.
    Stream,
}

/// Types of sockets in the order of the trials: most receivers have the first one.
const TYPES: [(SockType, Framing); 3] = [
    (SockType::Datagram, Framing::Packets),
    (SockType::Stream, Framing::Stream),
    (SockType::SeqPacket, Framing::Packets),
];

/// A number of records that were sent, and whether the socket refused others.
pub(super) struct Sent {
    pub count: usize,
    pub is_partial: bool,
}

/// Connects to `address` with a socket of the receiver's type.
pub(super) fn connect_to(address: &UnixAddr) -> Result<(OwnedFd, Framing), Errno> {
    let mut last = Errno::EPROTOTYPE;
    for (kind, framing) in TYPES {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, kind, flags, None)?;
        match connect(socket.as_raw_fd(), address) {
            Ok(()) => return Ok((socket, framing)),
            Err(errno) => last = errno,
        }
        if last != Errno::EPROTOTYPE {
            break;
        }
    }
    Err(last)
}

/// Sends one packet.
pub(super) fn send_one(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    send(socket.as_raw_fd(), bytes, FLAGS).map(drop)
}

/// Sends the next record as a packet.
pub(super) fn send_next(socket: BorrowedFd<'_>, ring: &Ring) -> Result<Sent, Errno> {
    ring.records(Reader::Syslog)
        .next()
        .map_or(Ok(0), |record| send_one(socket, text(record)).map(|()| 1))
        .map(|count| Sent { count, is_partial: false })
}

/// Sends the next record cut short, or counts it as lost if the socket refuses that, too.
pub(super) fn send_short(socket: BorrowedFd<'_>, ring: &mut Ring) -> Result<(), Errno> {
    let Some(record) = ring.records(Reader::Syslog).next() else { return Ok(()) };
    let text = text(record);
    match send_one(socket, &text[..text.len().min(SHORT_BYTES)]) {
        Ok(()) => ring.advance(Reader::Syslog, 1),
        Err(Errno::EMSGSIZE) => ring.lose(Reader::Syslog, 1),
        Err(errno) => return Err(errno),
    }
    Ok(())
}

/// Sends up to [`LOG_BATCH`] records as packets in one call (sendmmsg(2)).
///
/// Not inlined: the tables for the call are on the stack.
#[inline(never)]
pub(super) fn send_many(socket: BorrowedFd<'_>, ring: &Ring) -> Result<Sent, Errno> {
    let mut parts: Vec<libc::iovec, LOG_BATCH> = Vec::new();
    let mut messages: Vec<libc::mmsghdr, LOG_BATCH> = Vec::new();
    // Not collected, which makes a second table to return the first one.
    parts.extend(ring.records(Reader::Syslog).take(LOG_BATCH).map(text).map(part));
    messages.extend(parts.iter_mut().map(message));
    let (at, count) = (messages.as_mut_ptr(), messages.len() as u32);
    // SAFETY: `count` messages, each with one part, which points into the ring; it is only read.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), at, count, FLAGS.bits() as _) };
    Errno::result(sent).map(|sent| Sent { count: sent as usize, is_partial: sent < count as i32 })
}

/// Writes `note`, unless it is empty, and up to [`LOG_BATCH`] records to a stream in one call,
/// without the first `written` bytes; returns the number of bytes that the stream took.
///
/// Not inlined: the tables for the call are on the stack.
#[inline(never)]
pub(super) fn send_stream(
    socket: BorrowedFd<'_>,
    note: &[u8],
    ring: &Ring,
    written: usize,
) -> Result<usize, Errno> {
    let mut parts: Vec<libc::iovec, { 2 * LOG_BATCH + 2 }> = Vec::new();
    let note = Some(note).filter(|note| !note.is_empty());
    let mut skip = written;
    for text in note.into_iter().chain(ring.records(Reader::Syslog).take(LOG_BATCH).map(text)) {
        parts.extend([
            part(&text[skip.min(text.len())..]),
            part(&END[skip.max(text.len()) - text.len()..]),
        ]);
        skip = 0;
    }
    // SAFETY: all zeros is a value of the struct: no address, no parts, no control messages.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (parts.as_mut_ptr(), parts.len() as _);
    // SAFETY: a message of as many parts, which point into the ring or the note; they are only read.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, FLAGS.bits()) };
    Errno::result(sent).map(|sent| sent as usize)
}

/// The length of a text on a stream.
pub(super) fn stream_len(text: &[u8]) -> usize {
    text.len() + END.len()
}

fn part(text: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() }
}

fn message(part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all zeros is a value of the struct: no address, no parts, no control messages.
    let mut message: libc::mmsghdr = unsafe { core::mem::zeroed() };
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    message
}

/// The text of a record: all but its newline.
pub(super) fn text(record: Record<'_>) -> &[u8] {
    match record.bytes() {
        [text @ .., b'\n'] => text,
        all => all,
    }
}
