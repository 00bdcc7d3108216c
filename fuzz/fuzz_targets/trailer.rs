//! The last bytes of a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    atlas::internals::decode_trailer(bytes);
});
