//! What libproc tells of a socket on macOS, as the structures of bsd/sys/proc_info.h (XNU 11417) lay it out.
//!
//! Compiled for tests on every system, so that the layout is compared everywhere with what a C compiler makes of
//! Apple's header; both of Apple's 64-bit architectures lay these types out as Linux does.

use std::ffi::c_int;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::listener::Listener;

pub(super) const SOCKINFO_TCP: c_int = 2;
pub(super) const TSI_S_LISTEN: c_int = 1;
const INI_IPV4: u8 = 1;
const INI_IPV6: u8 = 2;

/// `struct in_sockinfo`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct InSockInfo {
    /// In network order; 0 where it is not connected.
    foreign_port: c_int,
    /// In network order.
    local_port: c_int,
    generation: u64,
    flags: u32,
    flow: u32,
    /// INI_IPV4, INI_IPV6, or both for a dual-stack socket.
    version: u8,
    ttl: u8,
    reserved: u32,
    foreign_addr: [u8; 16],
    /// An IPv4 address in the last four bytes, or an IPv6 address.
    local_addr: [u8; 16],
    v4_tos: u8,
    v6: In6SockInfo,
}

/// The part of `struct in_sockinfo` for IPv6: a structure of its own, which is why it begins at a multiple of four.
#[repr(C)]
#[derive(Clone, Copy)]
struct In6SockInfo {
    hop_limit: u8,
    checksum: c_int,
    interface: u16,
    hops: i16,
}

/// `struct tcp_sockinfo`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TcpSockInfo {
    pub(super) internet: InSockInfo,
    pub(super) state: c_int,
    timers: [c_int; 4],
    segment_bytes_max: c_int,
    flags: u32,
    reserved: u32,
    control_block: u64,
}

/// `struct socket_fdinfo`: `proc_fileinfo`, then `socket_info` up to its union.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SocketFdInfo {
    /// `struct proc_fileinfo`: 4 + 4 + 8 + 4 + 4 bytes.
    file: [u64; 3],
    /// `struct vinfo_stat`.
    stat: [u64; 17],
    /// An opaque value that is the same wherever the socket is open.
    pub(super) socket: u64,
    control_block: u64,
    kind_type: c_int,
    protocol: c_int,
    family: c_int,
    /// Options, linger, state, three queue lengths, timeout and error.
    shorts: [i16; 8],
    out_of_band: u32,
    /// `struct sockbuf_info`, receiving.
    receiving: [u32; 6],
    /// `struct sockbuf_info`, sending.
    sending: [u32; 6],
    /// Which member of the union is filled.
    pub(super) kind: c_int,
    reserved: u32,
    /// The union; its longest member, `un_sockinfo`, has 528 bytes.
    pub(super) protocol_info: ProtocolInfo,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union ProtocolInfo {
    pub(super) tcp: TcpSockInfo,
    bytes: [u64; 66],
}

/// Where a socket is bound. A dual-stack socket counts as IPv6.
pub(super) fn place(internet: &InSockInfo) -> Listener {
    let addr = address(internet.version, internet.local_addr, internet.local_port);
    Listener { addr, dual_stack: internet.version & INI_IPV4 != 0 }
}

/// Where a socket is connected to; None: nowhere.
pub(super) fn peer(internet: &InSockInfo) -> Option<SocketAddr> {
    Some(address(internet.version, internet.foreign_addr, internet.foreign_port)).filter(|peer| peer.port() != 0)
}

fn address(version: u8, octets: [u8; 16], port: c_int) -> SocketAddr {
    let port = u16::from_be(port as u16);
    if version & INI_IPV6 != 0 {
        SocketAddr::from((Ipv6Addr::from(octets), port))
    } else {
        SocketAddr::from((Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The numbers are `sizeof` and `offsetof` of Apple's header, compiled.
    #[test]
    fn structures_are_laid_out_as_in_apples_header() {
        assert_eq!([size_of::<In6SockInfo>(), size_of::<InSockInfo>(), size_of::<TcpSockInfo>()], [12, 80, 120]);
        assert_eq!([size_of::<ProtocolInfo>(), size_of::<SocketFdInfo>()], [528, 792]);
        let ports = [offset_of!(InSockInfo, foreign_port), offset_of!(InSockInfo, local_port)];
        assert_eq!((ports, offset_of!(InSockInfo, generation)), ([0, 4], 8));
        let words = [offset_of!(InSockInfo, flags), offset_of!(InSockInfo, flow), offset_of!(InSockInfo, reserved)];
        assert_eq!(words, [16, 20, 28]);
        assert_eq!([offset_of!(InSockInfo, version), offset_of!(InSockInfo, ttl)], [24, 25]);
        assert_eq!([offset_of!(InSockInfo, foreign_addr), offset_of!(InSockInfo, local_addr)], [32, 48]);
        assert_eq!([offset_of!(InSockInfo, v4_tos), offset_of!(InSockInfo, v6.hop_limit)], [64, 68]);
        let v6 = [
            offset_of!(InSockInfo, v6.checksum),
            offset_of!(InSockInfo, v6.interface),
            offset_of!(InSockInfo, v6.hops),
        ];
        assert_eq!(v6, [72, 76, 78]);
        let tcp = [
            offset_of!(TcpSockInfo, state),
            offset_of!(TcpSockInfo, timers),
            offset_of!(TcpSockInfo, segment_bytes_max),
            offset_of!(TcpSockInfo, flags),
            offset_of!(TcpSockInfo, reserved),
            offset_of!(TcpSockInfo, control_block),
        ];
        assert_eq!(tcp, [80, 84, 100, 104, 108, 112]);
        let socket = [
            offset_of!(SocketFdInfo, stat),
            offset_of!(SocketFdInfo, socket),
            offset_of!(SocketFdInfo, control_block),
            offset_of!(SocketFdInfo, kind_type),
            offset_of!(SocketFdInfo, protocol),
            offset_of!(SocketFdInfo, family),
            offset_of!(SocketFdInfo, shorts),
            offset_of!(SocketFdInfo, out_of_band),
            offset_of!(SocketFdInfo, receiving),
            offset_of!(SocketFdInfo, sending),
            offset_of!(SocketFdInfo, kind),
            offset_of!(SocketFdInfo, reserved),
            offset_of!(SocketFdInfo, protocol_info),
        ];
        assert_eq!(socket, [24, 160, 168, 176, 180, 184, 188, 204, 208, 232, 256, 260, 264]);
    }

    #[test]
    fn a_sockets_place_is_read_by_its_version() {
        // SAFETY: the structure holds integers only, for which all zeroes is a valid value.
        let mut internet: InSockInfo = unsafe { std::mem::zeroed() };
        internet.local_port = c_int::from(3111_u16.to_be());
        internet.local_addr[12..].copy_from_slice(&[127, 0, 0, 1]);
        internet.version = INI_IPV4;
        assert_eq!(
            place(&internet),
            Listener { addr: "127.0.0.1:3111".parse().expect("an address"), dual_stack: true }
        );
        internet.local_addr = Ipv6Addr::UNSPECIFIED.octets();
        internet.version = INI_IPV6;
        assert_eq!(place(&internet), Listener { addr: "[::]:3111".parse().expect("an address"), dual_stack: false });
        internet.version = INI_IPV4 | INI_IPV6;
        assert_eq!(place(&internet), Listener { addr: "[::]:3111".parse().expect("an address"), dual_stack: true });
    }
}
