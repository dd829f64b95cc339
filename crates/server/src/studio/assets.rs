//! The Studio's files: embedded in the binary, served under names that hold the hash of their content, kept by browsers for good.

use axum::{
    body::Body,
    extract::Path,
    http::{Response, StatusCode, header},
    response::IntoResponse,
};
use rust_embed::RustEmbed;

/// Where the files are served.
pub const PREFIX: &str = "/assets/";

#[derive(RustEmbed)]
#[folder = "src/studio/assets"]
struct Files;

/// The address of a file: `/assets/studio-0123456789abcdef.css`. A name that is not embedded gives an address that answers 404;
/// a test walks every page for those.
#[must_use]
pub fn url(name: &str) -> String {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut url = format!("{PREFIX}{stem}-");
    if let Some(file) = Files::get(name) {
        url.push_str(&hex::encode(file.metadata.sha256_hash().split_at(8).0));
    }
    url.push('.');
    url.push_str(ending);
    url
}

/// Serves one file. Only the current hash is answered, so that no cache keeps new content under an old name.
pub async fn serve(Path(file): Path<String>) -> Response<Body> {
    let asked = format!("{PREFIX}{file}");
    let found = Files::iter().find(|name| url(name) == asked).and_then(|name| Some((kind(&name)?, Files::get(&name)?)));
    let Some((kind, content)) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content.data.into_owned()).into_response()
}

/// The content type by the name's ending; the texts beside the assets have none and are not served.
fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_served_under_its_hash_alone() {
        let url = url("studio.css");
        let file = url.strip_prefix(PREFIX).expect("it is under the prefix").to_owned();
        let answer = serve(Path(file)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        let licence = super::url("htmx.LICENSE.txt").replace(PREFIX, "");
        for other in [licence.as_str(), "studio.css", "studio-0000000000000000.css", "README.md", "../mod.rs"] {
            assert_eq!(serve(Path(other.to_owned())).await.status(), StatusCode::NOT_FOUND, "{other}");
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for name in Files::iter().filter(|name| kind(name).is_some() && !name.starts_with("htmx")) {
            let file = Files::get(&name).expect("it was just listed");
            let text = std::str::from_utf8(&file.data).expect("all are texts").replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://") && !text.contains("url("), "{name}");
        }
    }
}
