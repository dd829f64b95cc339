//! Anything: what a connection names is reached, and TLS set up where it asks for that. Nobody knows what speaks there, so nothing is sent.

use dataflow_model::{StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;

use crate::{
    Connector, Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell},
    tls::{self, TlsMode, TlsSettings},
};

/// What is not known of any service.
const UNKNOWN: &str = "What speaks there is not known, so nothing is sent";

/// The connector of what no other one speaks.
pub struct Reach;

impl Connector for Reach {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            let reached = target.connect_in_time(reach(target, dialer, steps)).await;
            reached.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
            steps.skip(StepName::SignIn, UNKNOWN.to_owned());
            let farewell: Farewell<'t> = Box::pin(async {});
            Ok((Outcome { status: TestStatus::Unproven, server_version: None }, farewell))
        })
    }
}

async fn reach(target: &Target, dialer: &Dialer, steps: &mut Steps) -> Result<(), TestError> {
    let (host, tls) = (target.text("host"), TlsSettings::of(target));
    let port = target.public.integer("port").ok_or_else(|| causes::setting_missing("port", "The port"))?;
    let stream = dialer.dial(host, u16::try_from(port).unwrap_or_default(), steps).await?;
    if tls.mode() == TlsMode::Disable {
        steps.skip(StepName::Secure, "no TLS".to_owned());
        return Ok(());
    }
    steps.begin(StepName::Secure);
    let secured = tls::secure(&tls, dialer.system_roots(), host, "a server with TLS", stream).await?;
    steps.secured(tls::agreed(&secured));
    Ok(())
}
