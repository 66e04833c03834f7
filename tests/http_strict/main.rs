//! The connection loop against rude clients, over real sockets and on both drivers: the cases E1 to E17 of the
//! reliability checklist by name (E16, a grid of proxies, needs those), time-outs, drain, and hyper as an oracle.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod server;
#[cfg(test)]
mod time;
