//! S3, and whatever speaks its API, such as `MinIO`, Ceph and Cloudflare R2: <https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html>.

use dataflow_model::{FieldValue, StepName, TestError};

use super::aws::{REGION, between, code, domain, meaning, region, signed, words};
use crate::{
    Target, causes,
    http::{Access, Answer, Asked, Client, Entered, Judged, Request, Service, at},
    scrub::percent,
};

const PRODUCT: &str = "S3";
const ADDRESSING: &str = "extra.addressing";

pub(crate) struct S3;

fn bucket(target: &Target) -> &str {
    target.text("database")
}

/// Whether the bucket stands in the host's name: of AWS, unless the connection says otherwise, since the certificate is for one such part.
fn is_in_host(target: &Target) -> bool {
    let is_part =
        |name: &str| !name.is_empty() && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-');
    match target.text(ADDRESSING) {
        "path" => false,
        "virtual" => is_part(bucket(target)),
        _ => target.text("host").is_empty() && is_part(bucket(target)),
    }
}

/// In the derived place, which says where the bucket stands.
fn path(target: &Target) -> String {
    let bucket = bucket(target);
    if bucket.is_empty() || is_in_host(target) {
        return "/".to_owned();
    }
    format!("/{}", &*percent(bucket.as_bytes(), false))
}

impl Service for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        let host = match target.text("host") {
            "" => format!("s3.{}", domain(region(target)?)),
            host => host.to_owned(),
        };
        let (host, addressing) =
            if is_in_host(target) { (format!("{}.{host}", bucket(target)), "virtual") } else { (host, "path") };
        let mut place = at(target, &host);
        place.public.0.insert(ADDRESSING.into(), FieldValue::Text(addressing.to_owned()));
        Ok(Some(place))
    }

    fn signed(&self, target: &Target, request: Request, access: Access) -> Result<Request, TestError> {
        signed(target, request, access, "s3")
    }

    /// One key of the bucket, or else the buckets.
    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let query = if bucket(target).is_empty() { "" } else { "?list-type=2&max-keys=1" };
        Ok(Request::get(format!("{}{query}", path(target))))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        let text = answer.text();
        text.contains("<ListBucketResult") || text.contains("<ListAllMyBucketsResult")
    }

    fn is_own(&self, answer: &Answer) -> bool {
        code(answer).is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let elsewhere = || match between(&answer.text(), "<Region>", "</Region>") {
            Some(region) => causes::another_region(REGION, &asked.scrubber.clean(&region)),
            None => match answer.header("x-amz-bucket-region") {
                "" => causes::another_region_unnamed(REGION),
                region => causes::another_region(REGION, &asked.scrubber.clean(region)),
            },
        };
        if let Some(judged) = meaning(answer, asked) {
            return Some(judged);
        }
        let judged = match code(answer)?.as_str() {
            // Said to anybody: whether the sign-in is taken is found out by a wrong one, and what is missing is told where it is opened.
            "NoSuchBucket" if asked.step == StepName::SignIn => Judged::LetIn,
            "NoSuchBucket" | "InvalidBucketName" => Judged::Failed(causes::missing("database", "bucket", bucket(asked.target))),
            "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                Judged::Failed(elsewhere())
            }
            _ => Judged::Failed(causes::http_error(answer.status.as_u16(), &asked.scrubber.clean(&words(answer)))),
        };
        Some(judged)
    }

    async fn open(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        if bucket(target).is_empty() {
            return Ok(None);
        }
        self.asked(client, &self.signed(target, self.question(target)?, Access::Given)?).await?;
        Ok(Some(bucket(target).to_owned()))
    }

    async fn read(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        self.asked(client, &self.signed(target, self.question(target)?, Access::Given)?).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_in_the_host_or_in_the_path() {
        let of = |fields: &[(&str, &str)]| {
            let mut target = Target::default();
            for (path, value) in fields {
                target.public.0.insert((*path).into(), FieldValue::Text((*value).to_owned()));
            }
            let place = S3.place(&target).expect("a place").expect("always one");
            (place.text("host").to_owned(), path(&place))
        };
        let is = |host: &str, path: &str| (host.to_owned(), path.to_owned());
        let region = (REGION, "eu-west-1");
        assert_eq!(of(&[region]), is("s3.eu-west-1.amazonaws.com", "/"));
        assert_eq!(of(&[region, ("database", "sales")]), is("sales.s3.eu-west-1.amazonaws.com", "/"));
        assert_eq!(of(&[region, ("database", "a.b")]), is("s3.eu-west-1.amazonaws.com", "/a.b"));
        assert_eq!(
            of(&[region, ("database", "sales"), ("extra.addressing", "path")]),
            is("s3.eu-west-1.amazonaws.com", "/sales")
        );
        assert_eq!(of(&[("host", "minio"), ("database", "sales")]), is("minio", "/sales"));
        assert_eq!(of(&[("host", "minio.example.org"), ("database", "minio")]), is("minio.example.org", "/minio"));
        assert_eq!(of(&[("host", "minio"), ("database", "sales"), ("extra.addressing", "virtual")]), is("sales.minio", "/"));
        assert_eq!(of(&[("database", "../x?y@z")]), is("s3.us-east-1.amazonaws.com", "/..%2Fx%3Fy%40z"));
    }
}
