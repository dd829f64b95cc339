//! The randomness of the application. A test that needs fixed bytes hands them to the private function below the random one.

use uuid::Uuid;

/// `N` bytes from the operating system's generator, through AWS-LC.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// A version 4 UUID: 122 random bits, nothing that tells when it was made.
#[must_use]
pub fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(random_bytes()).into_uuid()
}

/// # Panics
/// Never: AWS-LC's `RAND_bytes` aborts the process where it cannot get entropy (its `rand.h`), so it returns no error.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("RAND_bytes aborts rather than fail");
}
