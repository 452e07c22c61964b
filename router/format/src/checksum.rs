//! CRC-32C, the checksum of everything on the local SSD.
//!
//! Owns: the one place that names the polynomial and the library. Does not own: MACs, which
//! need keys (`vpool-seal`).

/// CRC-32C (Castagnoli, as in iSCSI and RFC 3720) of `bytes`, in hardware where there is one.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    /// The vectors of RFC 3720, appendix B.4: a checksum that changes loses every journal.
    #[test]
    fn rfc_3720_vectors() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        let table: [(&[u8], u32); 5] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (&descending, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ];
        for (input, expect) in table {
            assert_eq!(crc32c(input), expect, "{input:?}");
        }
    }
}
