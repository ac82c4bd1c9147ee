//! What helps where an address cannot be listened on.

/// What helps where an address cannot be listened on.
pub(super) fn mend(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    match source.kind() {
        AddrInUse => "stop what uses the port, or choose another with --listen",
        AddrNotAvailable => {
            "this machine does not have that address; give one of its own with --listen, or 0.0.0.0 for all of them"
        }
        PermissionDenied => "this user may not use the port; choose one from 1024 on with --listen",
        _ => "choose another address with --listen",
    }
}
