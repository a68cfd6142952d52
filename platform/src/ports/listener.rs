//! Which listening sockets a connection reaches, which are in the way of another, and how many of them are looked at.
//! Portable, and tested everywhere.

use std::net::{IpAddr, SocketAddr};

use crate::pid::Pid;

/// The most listening sockets that are told apart; more (SO_REUSEPORT farms on one port) are left out.
pub(crate) const LISTENERS_MAX: usize = 1024;

/// The most descriptors that one scan looks at, over all processes: about a second's work.
pub(crate) const DESCRIPTORS_MAX: usize = 1 << 20;

/// Whose the listening sockets are that connections to an address reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Each is held by a process of the asked-for group.
    Own,
    /// Some are held by none of the group, but by these, or by nobody who can be seen and another user.
    Stranger(Vec<Pid>),
    /// Nobody listens, or a holder can't be seen (another user's, another namespace's, or no way to ask).
    Unknown,
}

/// A socket that has a port without listening on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Whose it is; None where that can't be seen.
    pub pid: Option<Pid>,
    /// Whose user's it is.
    pub user_id: u32,
    /// Where it is connected to; None: it is only bound.
    pub peer: Option<SocketAddr>,
}

/// A listening socket's place, as far as it decides who gets a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) addr: SocketAddr,
    /// Whether an IPv6 wildcard socket takes IPv4 connections too; means nothing for other sockets.
    pub(crate) dual_stack: bool,
}

/// How well a listening socket fits an address; the best that is present gets the connections, the others none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The IPv6 wildcard, for an IPv4 address.
    DualStack,
    /// The wildcard of the address's own family.
    Wildcard,
    /// The very address.
    Exact,
}

impl Listener {
    /// How this socket fits connections to `target`, which is one address and no wildcard; None: they never reach it.
    pub(crate) fn rank(&self, target: SocketAddr) -> Option<Rank> {
        if self.addr.port() != target.port() {
            return None;
        }
        let own = self.addr.ip().to_canonical();
        let target = target.ip().to_canonical();
        match (own, target) {
            _ if own == target => Some(Rank::Exact),
            (IpAddr::V4(own), IpAddr::V4(_)) if own.is_unspecified() => Some(Rank::Wildcard),
            (IpAddr::V6(own), IpAddr::V6(_)) if own.is_unspecified() => Some(Rank::Wildcard),
            (IpAddr::V6(own), IpAddr::V4(_)) if own.is_unspecified() && self.dual_stack => Some(Rank::DualStack),
            _ => None,
        }
    }
}

/// Keeps only the sockets that connections to `target` reach: all of the best rank that is present.
pub(crate) fn keep_reached<T>(sockets: &mut Vec<T>, target: SocketAddr, listener: impl Fn(&T) -> Listener) {
    let best = sockets.iter().filter_map(|socket| listener(socket).rank(target)).max();
    sockets.retain(|socket| best.is_some() && listener(socket).rank(target) == best);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn rank(listener: &str, target: &str) -> Option<Rank> {
        Listener { addr: at(listener), dual_stack: true }.rank(at(target))
    }

    #[test]
    fn only_sockets_that_connections_can_reach_have_a_rank() {
        let table = [
            ("127.0.0.1:80", "127.0.0.1:80", Some(Rank::Exact)),
            ("127.0.0.1:81", "127.0.0.1:80", None),
            ("127.0.0.2:80", "127.0.0.1:80", None),
            ("0.0.0.0:80", "127.0.0.1:80", Some(Rank::Wildcard)),
            ("[::]:80", "127.0.0.1:80", Some(Rank::DualStack)),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", Some(Rank::Exact)),
            ("[::1]:80", "127.0.0.1:80", None),
            ("[::1]:80", "[::1]:80", Some(Rank::Exact)),
            ("[::]:80", "[::1]:80", Some(Rank::Wildcard)),
            ("0.0.0.0:80", "[::1]:80", None),
        ];
        for (listener, target, expected) in table {
            assert_eq!(rank(listener, target), expected, "{listener} for {target}");
        }
    }

    #[test]
    fn an_ipv6_only_wildcard_takes_no_ipv4_connection() {
        let listener = Listener { addr: at("[::]:80"), dual_stack: false };
        assert_eq!(listener.rank(at("127.0.0.1:80")), None);
        assert_eq!(listener.rank(at("[::1]:80")), Some(Rank::Wildcard));
    }

    fn reached(listeners: &[&str], target: &str) -> Vec<String> {
        let mut sockets = listeners.to_vec();
        keep_reached(&mut sockets, at(target), |text| Listener { addr: at(text), dual_stack: true });
        sockets.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn only_the_best_rank_gets_the_connections() {
        let all = ["[::]:80", "0.0.0.0:80", "127.0.0.1:80", "10.0.0.1:80"];
        assert_eq!(reached(&all, "127.0.0.1:80"), ["127.0.0.1:80"]);
        assert_eq!(reached(&all[..2], "127.0.0.1:80"), ["0.0.0.0:80"]);
        assert_eq!(reached(&all[..1], "127.0.0.1:80"), ["[::]:80"]);
        assert_eq!(reached(&all, "[::1]:80"), ["[::]:80"]);
        assert!(reached(&all, "127.0.0.1:81").is_empty());
    }

    #[test]
    fn equals_share_the_connections() {
        assert_eq!(reached(&["127.0.0.1:80", "127.0.0.1:80"], "127.0.0.1:80").len(), 2);
    }
}
