//! The page for a person: a paragraph for each part, and tables only of what is not in order.

use llm_operator::survey::status::{Fleet, Objects, Operator, Status};

use crate::table::{Table, shown};

pub fn text(status: &Status) -> String {
    let mut parts = vec![operator(&status.namespace, &status.operator), proxies(&status.fleets)];
    parts.push(objects("Routes", &status.routes));
    parts.push(objects("Pools", &status.pools));
    parts.push(objects("Budgets", &status.budgets));
    parts.push(open(status));
    if status.without_sidecar > 0 {
        parts.push(format!(
            "Sidecars   {} pods asked for one and have none: `kubectl llm doctor` lists them\n",
            status.without_sidecar
        ));
    }
    if !status.unseen.is_empty() {
        let lines = status.unseen.iter().map(|why| format!("  {}\n", shown(why)));
        parts.push(format!("Not seen\n{}", lines.collect::<String>()));
    }
    parts.join("\n")
}

fn operator(namespace: &str, operator: &Operator) -> String {
    let ready = match operator.wanted {
        Some(wanted) => format!("{} of {wanted} replicas ready", operator.ready),
        None => format!("{} of its replicas answer", operator.replicas.len()),
    };
    let leader = match (&operator.leader, operator.seconds_since_renewal) {
        (Some(leader), Some(seconds)) => format!("{leader} leads (renewed {seconds} s ago)"),
        (Some(leader), None) => format!("{leader} leads"),
        (None, _) => "nobody leads".to_owned(),
    };
    let mut versions: Vec<&str> = operator.replicas.iter().map(|replica| replica.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let versions = if versions.is_empty() { "unknown".to_owned() } else { versions.join(", ") };
    let mut text = format!("Operator   namespace {namespace}, version {versions}: {ready}; {leader}\n");
    for replica in &operator.unreachable {
        text += &format!("           {} can't be asked: {}\n", replica.admin, shown(&replica.reason));
    }
    text
}

fn proxies(fleets: &[Fleet]) -> String {
    if fleets.is_empty() {
        return "Proxies    none is connected\n".to_owned();
    }
    let mut table = Table::new(&["KIND", "OF", "CONNECTED", "IN-FORCE", "LAGGING", "REFUSING", "VERSIONS"]);
    for Fleet { kind, name, counts } in fleets {
        let numbers = [counts.proxies, counts.in_force, counts.lagging, counts.refusing];
        let mut row = vec![kind.as_str().to_owned(), name.clone()];
        row.extend(numbers.map(|number| number.to_string()));
        row.push(counts.shown_versions());
        table.row(row);
    }
    format!("Proxies\n{}", indented(&table))
}

fn objects(kind: &str, objects: &Objects) -> String {
    let fine = objects.total - objects.troubled.len();
    let head = format!("{kind:<11}{fine} of {} in order\n", objects.total);
    if objects.troubled.is_empty() {
        return head;
    }
    let mut table = Table::new(&["NAME", "CONDITION", "REASON", "MESSAGE"]);
    for trouble in &objects.troubled {
        table.row(vec![
            trouble.object.clone(),
            trouble.condition.clone(),
            trouble.reason.clone(),
            trouble.message.clone(),
        ]);
    }
    head + &indented(&table)
}

fn open(status: &Status) -> String {
    if status.open.is_empty() {
        return "Providers  all take calls\n".to_owned();
    }
    let mut table = Table::new(&["PROVIDER", "MODEL", "OPEN-ON", "LAST-ERROR"]);
    for open in &status.open {
        let share = format!("{}/{}", open.open, open.proxies);
        table.row(vec![open.provider.clone(), open.model.clone(), share, open.last_error.clone()]);
    }
    format!("Providers  these are left alone, for they fail\n{}", indented(&table))
}

fn indented(table: &Table) -> String {
    table.text().lines().map(|line| format!("  {line}\n")).collect()
}
