//! What the login may do, when its password ends, and how full the server is. Whatever of it the server does not tell is left out.

use dataflow_model::{Learned, report::OpenConnections};

use super::{super::link::Link, ask};

const DAY: i64 = 86_400;
/// Roles of the server and of the database, whether all sessions are seen, the day since 1970 on which the password ends, and most sessions.
const LOOK: &str = "SELECT IS_SRVROLEMEMBER(N'sysadmin'), IS_MEMBER(N'db_owner'), IS_MEMBER(N'db_datareader'), IS_MEMBER(N'db_datawriter'), \
                    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE'), \
                    DATEDIFF(DAY, '19700101', SYSUTCDATETIME()) \
                    + NULLIF(CAST(LOGINPROPERTY(SUSER_SNAME(), 'DaysUntilExpiration') AS int), -1), \
                    @@MAX_CONNECTIONS";
/// Asked only of who sees all of them.
const OPEN: &str = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1";

/// Asks for it, once all else is done.
pub(super) async fn learn(wire: &mut Link<'_>, learned: &mut Learned) {
    let Ok(rows) = ask(wire, LOOK).await else { return };
    let [row] = rows.as_slice() else { return };
    let [superuser, owner, reader, writer, sees_all, ends, allowed] = row.as_slice() else { return };
    let is = |value: &Option<String>| value.as_deref() == Some("1");
    // Azure SQL knows no such role, and says nothing.
    learned.is_superuser = superuser.as_deref().map(|member| member == "1");
    if learned.is_superuser != Some(true) {
        let words = [
            (is(owner), "owns the database"),
            (is(reader), "reads all tables"),
            (is(writer), "writes all tables"),
            (is(sees_all), "sees what the server does"),
        ];
        learned.privileges = words.iter().filter(|(has, _)| *has).map(|(_, words)| (*words).to_owned()).collect();
    }
    learned.password_ends_at = ends
        .as_deref()
        .and_then(|day| day.parse::<i64>().ok())
        .and_then(|day| day.checked_mul(DAY))
        .and_then(crate::tls::timestamp);
    let allowed = allowed.as_deref().and_then(|count| count.parse().ok());
    if let Some(allowed) = allowed.filter(|_| is(sees_all)) {
        let Ok(rows) = ask(wire, OPEN).await else { return };
        let open = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        learned.connections = open.map(|open| OpenConnections { open, allowed });
    }
}
