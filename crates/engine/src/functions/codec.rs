//! Encodings, digests and compressed text.

use super::{Args, Kernel};
use crate::json;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use kql::Type;
use sha1::Digest as _;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};

/// Text that a compressed value may hold, so that a few bytes do not fill the memory.
const INFLATED_BYTES_MAX: u64 = 16 << 20;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn digest(args: &Args, of: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(of(texts.get(i).unwrap_or("").as_bytes()))))
}

pub static MD5: Kernel = Kernel::new("kql_hash_md5", Type::String, |a| digest(a, |b| hex(md5::Md5::digest(b))));
pub static SHA1: Kernel = Kernel::new("kql_hash_sha1", Type::String, |a| digest(a, |b| hex(sha1::Sha1::digest(b))));
pub static SHA256: Kernel =
    Kernel::new("kql_hash_sha256", Type::String, |a| digest(a, |b| hex(sha2::Sha256::digest(b))));
/// `hash(value [, modulus])`: xxHash64 of the bytes of a text.
pub static XXHASH64: Kernel = Kernel::new("kql_hash_xxhash64", Type::Long, |args| {
    let texts = args.strings(0);
    xxhash64(args, |i, hash| hash(texts.get(i).unwrap_or("").as_bytes()))
});
/// As [`XXHASH64`], of the eight bytes of a long or a time.
pub static XXHASH64_LONG: Kernel = Kernel::new("kql_hash_xxhash64_long", Type::Long, |args| {
    let values = args.longs(0);
    xxhash64(args, |i, hash| hash(&values.get(i).unwrap_or_default().to_le_bytes()))
});
pub static XXHASH64_REAL: Kernel = Kernel::new("kql_hash_xxhash64_real", Type::Long, |args| {
    let values = args.reals(0);
    xxhash64(args, |i, hash| hash(&values.get(i).unwrap_or_default().to_le_bytes()))
});

fn xxhash64(args: &Args, row: impl Fn(usize, fn(&[u8]) -> i64) -> i64) -> Result<ArrayRef> {
    let moduli = (args.len() > 1).then(|| args.longs(1));
    let hash = |bytes: &[u8]| twox_hash::XxHash64::oneshot(0, bytes).cast_signed();
    Ok(args.make_longs(|i| match &moduli {
        None => Some(row(i, hash)),
        Some(moduli) => moduli.get(i).filter(|m| *m != 0).map(|m| row(i, hash).wrapping_rem_euclid(m)),
    }))
}

/// A guid that no other row has.
pub static NEW_GUID: Kernel = Kernel {
    name: "kql_new_guid",
    returns: Type::Guid,
    evaluate: |args| {
        // The bits of a guid of version 4 that are not random.
        const VERSION: u128 = 4 << 76;
        const VARIANT: u128 = 2 << 62;
        const FIXED: u128 = (0xf << 76) | (3 << 62);
        let mut generator = fastrand::Rng::new();
        Ok(args.make_strings(|_| kql::parse_guid(&format!("{:032x}", generator.u128(..) & !FIXED | VERSION | VARIANT))))
    },
    volatility: Volatility::Volatile,
};

fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The bytes of base64 text as an array; null for other text.
pub static DECODE_TOARRAY: Kernel = Kernel::new("kql_base64_toarray", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(json::array(decoded(texts.get(i)?)?.iter().map(u8::to_string)))))
});
pub static ENCODE_FROMARRAY: Kernel = Kernel::new("kql_base64_fromarray", Type::String, |args| {
    let arrays = args.strings(0);
    Ok(args.make_strings(|i| {
        let bytes = match json::tree(arrays.get(i).unwrap_or("null")) {
            serde_json::Value::Array(items) => {
                items.iter().map(|v| v.as_u64().and_then(|n| u8::try_from(n).ok())).collect::<Option<Vec<u8>>>()
            }
            _ => None,
        };
        Some(bytes.map_or_else(String::new, |bytes| STANDARD.encode(bytes)))
    }))
});

/// The first three groups of a guid are stored with their bytes reversed.
fn swap_guid(bytes: &mut [u8]) {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
}

pub static DECODE_TOGUID: Kernel = Kernel::new("kql_base64_toguid", Type::Guid, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let mut bytes = decoded(texts.get(i)?).filter(|b| b.len() == 16)?;
        swap_guid(&mut bytes);
        kql::parse_guid(&hex(bytes))
    }))
});
pub static ENCODE_FROMGUID: Kernel = Kernel::new("kql_base64_fromguid", Type::String, |args| {
    let guids = args.strings(0);
    Ok(args.make_strings(|i| {
        let digits: String = guids.get(i).unwrap_or("").chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |k: usize| digits.get(2 * k..2 * k + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let Some(mut bytes) = (0..16).map(byte).collect::<Option<Vec<u8>>>() else { return Some(String::new()) };
        swap_guid(&mut bytes);
        Some(STANDARD.encode(bytes))
    }))
});

fn text_of(mut reader: impl std::io::Read) -> Option<String> {
    let mut text = String::new();
    reader.by_ref().take(INFLATED_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn inflate(args: &Args, read: fn(&[u8]) -> Option<String>) -> Result<ArrayRef> {
    let texts = args.strings(0);
    let decode = |text: &str| decoded(text).or_else(|| STANDARD_NO_PAD.decode(text).ok());
    Ok(args.make_strings(|i| Some(texts.get(i).and_then(decode).and_then(|bytes| read(&bytes)).unwrap_or_default())))
}

/// Text that was compressed and written in base64; `""` for other text.
pub static GZIP_DECOMPRESS: Kernel =
    Kernel::new("kql_gzip_decompress", Type::String, |a| inflate(a, |bytes| text_of(GzDecoder::new(bytes))));
pub static ZLIB_DECOMPRESS: Kernel =
    Kernel::new("kql_zlib_decompress", Type::String, |a| inflate(a, |bytes| text_of(ZlibDecoder::new(bytes))));

/// Compresses fast, and stores as it is what would not become smaller. `frame` is how many bytes are around the content.
fn deflate(args: &Args, frame: usize, write: fn(&[u8], Compression) -> std::io::Result<Vec<u8>>) -> Result<ArrayRef> {
    let texts = args.strings(0);
    let packed = |text: &str| {
        let fast = write(text.as_bytes(), Compression::fast())?;
        let is_smaller = fast.len() < text.len() + frame;
        if is_smaller { Ok(fast) } else { write(text.as_bytes(), Compression::none()) }
    };
    let packed = |text: &str| packed(text).map(|bytes| STANDARD.encode(bytes)).unwrap_or_default();
    Ok(args.make_strings(|i| Some(packed(texts.get(i).unwrap_or("")))))
}

pub static GZIP_COMPRESS: Kernel = Kernel::new("kql_gzip_compress", Type::String, |args| {
    /// Where the header says how hard it was tried, which the original leaves open.
    const EXTRA_FLAGS: usize = 8;
    const FRAME_BYTES: usize = 18;
    deflate(args, FRAME_BYTES, |bytes, level| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes)?;
        let mut packed = encoder.finish()?;
        packed[EXTRA_FLAGS] = 0;
        Ok(packed)
    })
});
pub static ZLIB_COMPRESS: Kernel = Kernel::new("kql_zlib_compress", Type::String, |args| {
    const FRAME_BYTES: usize = 6;
    deflate(args, FRAME_BYTES, |bytes, level| {
        let mut encoder = ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(bytes)?;
        encoder.finish()
    })
});
