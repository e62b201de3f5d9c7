//! The tables by which the kernel is entered.

use serde_json::Value as Json;

use crate::output::table::{rows, strings, table, text};

pub(super) fn calls(answer: &Json) -> Vec<String> {
    let calls = rows(&answer["calls"], |call| {
        let (number, address) = (text(&call["number"]), text(&call["address"]));
        vec![number, address, place(call), text(&call["symbol"])]
    });
    table(&["NUMBER", "ADDRESS", "IN", "SYMBOL"], calls)
}

pub(super) fn interrupts(answer: &Json) -> Vec<String> {
    let tables = answer["tables"].as_array().into_iter().flatten();
    tables.flat_map(of_vcpus).collect()
}

fn of_vcpus(one: &Json) -> Vec<String> {
    let vcpus = strings(&one["vcpus"]).join(", ");
    if !one["unknown"].is_null() {
        return vec![format!("vCPU {vcpus}: unknown: {}", text(&one["why"]))];
    }
    let gates = rows(&one["gates"], |gate| {
        let (number, address) = (text(&gate["number"]), text(&gate["address"]));
        let (dpl, stack) = (text(&gate["dpl"]), text(&gate["stack"]));
        vec![
            number,
            address,
            place(gate),
            dpl,
            stack,
            text(&gate["symbol"]),
        ]
    });
    let head = format!("vCPU {vcpus}, by {}", text(&one["source"]));
    let heads = ["VECTOR", "ADDRESS", "IN", "DPL", "STACK", "SYMBOL"];
    [head].into_iter().chain(table(&heads, gates)).collect()
}

/// Where an entry leads: the kernel's code, the rest of its image, or a module's code.
fn place(entry: &Json) -> String {
    if entry["in_text"] == true {
        return "kernel".to_owned();
    }
    if entry["in_image"] == true {
        return "image".to_owned();
    }
    if entry["module"].is_null() {
        return "NOWHERE".to_owned();
    }
    text(&entry["module"])
}
