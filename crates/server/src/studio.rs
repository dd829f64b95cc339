//! The Studio: HTML in, one `ops` call, HTML out. One file per page; what a page shows is made in `view`.

pub mod assets;
pub mod view;
