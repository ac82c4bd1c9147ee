//! `outbound receive`: a receiver that prints and verifies what arrives.
