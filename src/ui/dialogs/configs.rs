//! Rows of a form in which configs are set, under Kafka's names.

use std::rc::Rc;

use shore_view::message::Config;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use super::Known;

/// A config that is set. The number tells rows apart while names change.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub number: u32,
    pub name: Rc<str>,
    pub value: Rc<str>,
}

/// Rows with numbers from `first` on.
pub fn rows(first: u32, configs: &[(&str, &str)]) -> Vec<Row> {
    let row = |(number, &(name, value)): (u32, &(&str, &str))| Row { number, name: name.into(), value: value.into() };
    (first..).zip(configs).map(row).collect()
}

/// A number that none of these has.
pub fn next_number(rows: &[Row]) -> u32 {
    rows.iter().map(|row| row.number + 1).max().unwrap_or(0)
}

#[derive(PartialEq, Properties)]
pub struct ConfigRowsProps {
    pub configs: Known,
    pub rows: Vec<Row>,
    pub onchange: Callback<Vec<Row>>,
}

/// What a button does to the rows.
type Edit = Rc<dyn Fn(&mut Vec<Row>)>;

#[component]
pub fn ConfigRows(props: &ConfigRowsProps) -> Html {
    let Some(configs) = &props.configs else { return html! { <p class="small quiet">{ "Reading" }</p> } };
    let change = |edit: Edit| {
        let (rows, onchange) = (props.rows.clone(), props.onchange.clone());
        move || {
            let mut rows = rows.clone();
            edit(&mut rows);
            onchange.emit(rows);
        }
    };
    let is_taken = |name: &str| props.rows.iter().any(|row| &*row.name == name);
    let add = {
        let free = configs.iter().find(|config| !is_taken(&config.name)).cloned();
        let add = change(Rc::new(move |rows| {
            let number = next_number(rows);
            if let Some(free) = &free {
                rows.push(Row { number, name: free.name.clone(), value: free.value.clone() });
            }
        }));
        Callback::from(move |_: MouseEvent| add())
    };
    html! {
        <fieldset class="configs">
            <legend>{ "Configs" }</legend>
            { for props.rows.iter().enumerate().map(|(place, row)| {
                let rename = {
                    let (rows, onchange, configs) = (props.rows.clone(), props.onchange.clone(), configs.clone());
                    Callback::from(move |event: Event| {
                        let name: Rc<str> = event.target_unchecked_into::<HtmlSelectElement>().value().into();
                        let default = configs.iter().find(|config| config.name == name).map(|config| config.value.clone());
                        let mut rows = rows.clone();
                        (rows[place].name, rows[place].value) = (name, default.unwrap_or_default());
                        onchange.emit(rows);
                    })
                };
                let set = {
                    let (rows, onchange) = (props.rows.clone(), props.onchange.clone());
                    Callback::from(move |event: InputEvent| {
                        let mut rows = rows.clone();
                        rows[place].value = event.target_unchecked_into::<HtmlInputElement>().value().into();
                        onchange.emit(rows);
                    })
                };
                let remove = change(Rc::new(move |rows| drop(rows.remove(place))));
                let known = configs.iter().find(|config| config.name == row.name);
                html! {
                    <div key={row.number} class="config">
                        <select aria-label="Config" onchange={rename}>
                            { for configs.iter().filter(|config| config.name == row.name || !is_taken(&config.name)).map(|config| html! {
                                <option value={config.name.to_string()} selected={config.name == row.name}>{ config.name.clone() }</option>
                            }) }
                        </select>
                        <input type="text" aria-label={row.name.to_string()} value={row.value.to_string()} oninput={set}
                            list={format!("choices-{}", row.number)} autocomplete="off" spellcheck="false" />
                        { choices(row.number, known) }
                        <button type="button" class="button plain icon" aria-label={format!("Remove {}", row.name)} title="Back to the default"
                            onclick={Callback::from(move |_: MouseEvent| remove())}>{ "×" }</button>
                        if let Some(known) = known {
                            <small>{ known.documentation.clone() }</small>
                        }
                    </div>
                }
            }) }
            <button type="button" class="button slim" onclick={add}>{ "Add a config" }</button>
        </fieldset>
    }
}

fn choices(number: u32, config: Option<&Config>) -> Html {
    html! {
        <datalist id={format!("choices-{number}")}>
            { for config.iter().flat_map(|config| &config.choices).map(|choice| html! { <option value={choice.to_string()} /> }) }
        </datalist>
    }
}
