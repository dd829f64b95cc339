//! Elasticsearch and OpenSearch, which once were one:
//! <https://www.elastic.co/guide/en/elasticsearch/reference/8.19/security-api-authenticate.html>,
//! <https://docs.opensearch.org/latest/security/api/authentication/auth-info/>.

use dataflow_model::{StepName, TestError};
use hyper::StatusCode;

use crate::{
    Target, causes,
    http::{Access, Answer, Asked, Client, Entered, Judged, Request, Service, joined},
    scrub::percent,
};

/// One of both.
pub(crate) struct Elastic {
    name: &'static str,
    pub(super) product: &'static str,
    /// Says who asks, to everybody who is signed in.
    who: &'static str,
    /// Where it says so.
    user: &'static str,
    is_its: fn(&Answer) -> bool,
}

pub(super) const ELASTICSEARCH: Elastic = Elastic {
    name: "elasticsearch",
    product: "Elasticsearch",
    who: "/_security/_authenticate",
    user: "/username",
    is_its: is_elasticsearch,
};

pub(super) const OPENSEARCH: Elastic = Elastic {
    name: "opensearch",
    product: "OpenSearch",
    who: "/_plugins/_security/authinfo",
    user: "/user_name",
    is_its: is_opensearch,
};

/// Since 7.14 a header says so, before that the line that every cluster greets with.
pub(super) fn is_elasticsearch(answer: &Answer) -> bool {
    answer.header("x-elastic-product") == "Elasticsearch"
        || (answer.json_text("/tagline").is_some_and(|line| line == "You Know, for Search") && !is_opensearch(answer))
}

pub(super) fn is_opensearch(answer: &Answer) -> bool {
    answer.json_text("/version/distribution").is_some_and(|name| name == "opensearch")
        || answer.json_text("/tagline").is_some_and(|line| line.starts_with("The OpenSearch Project"))
}

/// The index that the connection names.
fn index(target: &Target) -> &str {
    target.text("database")
}

impl Elastic {
    /// Greets whoever may look at the cluster.
    fn greeting(target: &Target) -> Request {
        Request::get(joined(target, "/"))
    }
}

impl Service for Elastic {
    fn name(&self) -> &'static str {
        self.name
    }

    fn product(&self) -> &'static str {
        self.product
    }

    fn is_by_name(&self, target: &Target) -> bool {
        target.text("extra.auth") != "api_key"
    }

    fn scheme(&self) -> &'static str {
        "ApiKey"
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(Request::get(joined(target, self.who)))
    }

    fn accepts(&self, step: StepName, answer: &Answer) -> bool {
        match step {
            StepName::SignIn => answer.json_text(self.user).is_some() || (self.is_its)(answer),
            StepName::OpenDatabase => answer.json().is_some_and(|json| json.pointer("/hits").is_some()),
            _ => (self.is_its)(answer),
        }
    }

    fn version(&self, answer: &Answer) -> Option<String> {
        answer.json_text("/version/number")
    }

    fn is_own(&self, answer: &Answer) -> bool {
        (self.is_its)(answer) || (answer.json_text("/error/type").is_some() && answer.json_text("/error/reason").is_some())
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let missing = answer.json_text("/error/type").is_some_and(|kind| kind == "index_not_found_exception");
        (answer.status == StatusCode::NOT_FOUND && missing)
            .then(|| Judged::Failed(causes::missing("database", "index", index(asked.target))))
    }

    /// Where security is switched off nobody can say who asks; then the greeting is the question, which it answers to everybody.
    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        if self.has_sign_in(target) {
            let asks = self.question(target)?.with(self.credentials(target, Access::Given)?);
            let status = client.ask(&asks).await?.status;
            // “No handler found for uri”, in its versions; 500 where the handler is there and security is off.
            let is_unknown = matches!(status.as_u16(), 400 | 404 | 405 | 500);
            if !is_unknown {
                return self.enter_by(client, &|target| self.question(target)).await;
            }
        }
        self.enter_by(client, &|target| Ok(Self::greeting(target))).await
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let index = index(client.target);
        if index.is_empty() {
            return Ok(None);
        }
        let path = joined(client.target, &format!("/{}/_search?size=0", &*percent(index.as_bytes(), false)));
        self.asked(client, &Request::get(path).with(entered.credentials.clone())).await?;
        Ok(Some(index.to_owned()))
    }

    /// Who may read an index need not be allowed to look at the cluster.
    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let request = Self::greeting(client.target).with(entered.credentials.clone());
        let answer = client.ask(&request).await?;
        match self.judge(client, &answer) {
            Judged::LetIn => Ok(self.version(&answer)),
            Judged::Refused(_) | Judged::Failed(_)
                if answer.status == StatusCode::FORBIDDEN && !index(client.target).is_empty() =>
            {
                Ok(None)
            }
            Judged::Refused(error) | Judged::Failed(error) => Err(error),
        }
    }
}
