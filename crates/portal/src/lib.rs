//! The files of the portal, which are part of the program. What they are made of stands in `portal/`.
//!
//! This crate must know nothing of HTTP; the server decides who gets which file, and how.

/// A file of the portal.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path below the portal's address, such as `assets/index-4f2a.js`.
    pub name: &'static str,
    /// Its content, compressed by Brotli and by gzip.
    pub brotli: &'static [u8],
    pub gzip: &'static [u8],
}

/// All files, by name. There are none when the program was built before the portal.
pub static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The page that all addresses of the portal begin with.
pub const INDEX: &str = "index.html";

/// The file of that name.
pub fn file(name: &str) -> Option<&'static File> {
    FILES.binary_search_by(|file| file.name.cmp(name)).ok().map(|at| &FILES[at])
}

impl File {
    /// Whether its content never changes: its name has a digest of it.
    pub fn is_immutable(&self) -> bool {
        self.name.starts_with("assets/")
    }

    /// What kind of content it is.
    pub fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("json") => "application/json",
            Some("ttf") => "font/ttf",
            Some("woff2") => "font/woff2",
            Some("png") => "image/png",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_names() {
        assert!(FILES.is_sorted_by_key(|file| file.name));
        for known in FILES {
            assert_eq!(file(known.name).map(|found| found.name), Some(known.name));
            assert_ne!(known.content_type(), "application/octet-stream", "{} is of no known kind", known.name);
        }
        assert!(file("../Cargo.toml").is_none());
    }
}
