//! Signature Version 4 of AWS: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::fmt::Write as _;

use time::{OffsetDateTime, macros::format_description};

use super::{hmac, sha256};

/// Who signs, for which service, and when.
pub(crate) struct Signature<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    /// Of a login that is for a time; empty for one that stays.
    pub(crate) session_token: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) at: OffsetDateTime,
}

/// What is signed of a request. Its path and query are escaped already, each part once.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    /// Further headers, by their names in lower case.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl Signature<'_> {
    /// The headers that go along with it, the signature last. S3 wants the body's digest in one of its own.
    pub(crate) fn headers(&self, request: &Signed<'_>) -> Vec<(&'static str, String)> {
        let time = self.at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap_or_default();
        let date = time.get(..8).unwrap_or_default();
        let digest = hex::encode(sha256(request.body));
        let mut own = vec![("x-amz-date", time.clone())];
        if self.service == "s3" {
            own.push(("x-amz-content-sha256", digest.clone()));
        }
        if !self.session_token.is_empty() {
            own.push(("x-amz-security-token", self.session_token.to_owned()));
        }
        let mut headers = vec![("host", request.host)];
        headers.extend_from_slice(request.headers);
        headers.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
        headers.sort_unstable();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");

        let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
        let mut pairs: Vec<_> =
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        pairs.sort_unstable();
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let mut canonical = format!("{}\n{path}\n{query}\n", request.method);
        for (name, value) in &headers {
            let _ = writeln!(canonical, "{name}:{}", value.trim());
        }
        let _ = write!(canonical, "\n{names}\n{digest}");

        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(sha256(canonical.as_bytes())));
        let key = hmac(format!("AWS4{}", self.secret).as_bytes(), date.as_bytes());
        let key = [self.region, self.service, "aws4_request"].into_iter().fold(key, |key, part| hmac(&key, part.as_bytes()));
        let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
        let credential = format!("{}/{scope}", self.key_id);
        let authorization = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        own.push(("authorization", authorization));
        own
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn signature(signature: &Signature<'_>, request: &Signed<'_>) -> String {
        let headers = signature.headers(request);
        let (_, authorization) = headers.last().expect("the signature");
        authorization.rsplit_once("Signature=").expect("a signature").1.to_owned()
    }

    /// Of AWS's own suite of tests for signatures (`get-vanilla`, `get-vanilla-query-order-key-case`, `post-vanilla`).
    #[test]
    fn it_is_that_of_the_published_vectors() {
        let suite = Signature {
            key_id: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: "",
            region: "us-east-1",
            service: "service",
            at: datetime!(2015-08-30 12:36:00 UTC),
        };
        for (method, path, expected) in [
            ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
            ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ] {
            let request = Signed { method, path, host: "example.amazonaws.com", headers: &[], body: b"" };
            assert_eq!(signature(&suite, &request), expected, "{method} {path}");
        }
    }

    /// “Examples: Signature Calculations” of the S3 API: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
    #[test]
    fn it_is_that_of_the_examples_of_s3() {
        let examples = Signature {
            key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            session_token: "",
            region: "us-east-1",
            service: "s3",
            at: datetime!(2013-05-24 00:00:00 UTC),
        };
        for (path, expected) in [
            ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            ("/?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            let request = Signed { method: "GET", path, host: "examplebucket.s3.amazonaws.com", headers: &[], body: b"" };
            assert_eq!(signature(&examples, &request), expected, "{path}");
        }
    }

    #[test]
    fn the_token_of_a_session_is_signed() {
        let session = Signature {
            key_id: "id",
            secret: "secret",
            session_token: "token",
            region: "eu-west-1",
            service: "sts",
            at: datetime!(2026-01-01 00:00:00 UTC),
        };
        let request = Signed { method: "GET", path: "/", host: "h", headers: &[("content-type", "x")], body: b"" };
        let headers = session.headers(&request);
        assert!(headers.contains(&("x-amz-security-token", "token".to_owned())), "{headers:?}");
        let (_, authorization) = headers.last().expect("the signature");
        assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"), "{authorization}");
    }
}
