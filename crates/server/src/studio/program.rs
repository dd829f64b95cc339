//! What a `User-Agent` says in a few words, so that people know their own browsers again. It proves nothing.

/// Found in this order: browsers carry the names of those that they stand in for.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
];
/// Most characters of what is none of them.
const SHOWN: usize = 40;

/// `Firefox on Linux`, or the first characters of what is unknown.
#[must_use]
pub fn name(agent: Option<&str>) -> String {
    let Some(agent) = agent.filter(|agent| !agent.trim().is_empty()) else { return "Unknown program".to_owned() };
    let find = |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => agent.chars().take(SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_known_by_what_they_alone_say() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        let named = |agent: &str| name(Some(agent));
        assert_eq!(named("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"), "Firefox on Linux");
        assert_eq!(
            named(&format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/140.0 Safari/537.36 Edg/140.0")),
            "Edge on Windows"
        );
        assert_eq!(
            named(&format!("Mozilla/5.0 (Linux; Android 15) {webkit} Chrome/140.0 Mobile Safari/537.36")),
            "Chrome on Android"
        );
        assert_eq!(
            named("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15"),
            "Safari on Mac"
        );
        assert_eq!(named("curl/8.0"), "curl/8.0");
        assert_eq!(named(&"x".repeat(300)).len(), SHOWN);
        assert_eq!((name(None), name(Some(" "))), ("Unknown program".to_owned(), "Unknown program".to_owned()));
    }
}
