//! The manual page: one for the program and all its subcommands.
//!
//! Standard: man(7); the sections and their order are those of man-pages(7).

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;

use super::HEADING;

/// The parts of the page that are not in the help.
const ENVIRONMENT: &str = "\
.SH ENVIRONMENT
.TP
.BR LC_ALL ,\\  LC_MESSAGES ,\\  LANG
The first that says anything decides the language of the text: Chinese if it begins with zh, English otherwise.
.TP
.B NO_COLOR
If it is set and not empty, there are no colours unless they are asked for.
";

/// The preamble of every part of a page: how apostrophes are written.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Returns the page of a command whose subcommands are not built yet. Options under [`HEADING`] appear once, with the
/// program.
pub(super) fn page(command: &Command) -> io::Result<String> {
    let version = command.get_version().unwrap_or_default();
    let mut whole = command.clone().override_usage("ipc-demo [options] <scenario> [options]");
    whole.build();
    // The date of the page is its version's; an empty one would shift the next field.
    let man = Man::new(whole).title("IPC-DEMO").date(" ").source(format!("ipc-demo {version}")).manual("User Commands");
    let mut page = PREAMBLE.to_owned();
    page += &rendered(|out| man.render_title(out))?;
    page += &rendered(|out| man.render_name_section(out))?;
    page += &rendered(|out| man.render_synopsis_section(out))?;
    page += &rendered(|out| man.render_description_section(out))?;
    page += &rendered(|out| man.render_options_section(out))?;
    for subcommand in command.get_subcommands() {
        page += &about(subcommand)?;
    }
    page += &rendered(|out| man.render_extra_section(out))?.replace(".SH EXTRA", ".SH EXAMPLES AND EXIT STATUS");
    Ok(laid_out(&page) + ENVIRONMENT)
}

/// Returns the section of a subcommand.
fn about(subcommand: &Command) -> io::Result<String> {
    let name = subcommand.get_name().to_owned();
    let is_of_all = |arg: &Arg| arg.get_help_heading() == Some(HEADING);
    let mut alone = subcommand.clone().disable_help_flag(true);
    alone = alone.mut_args(|arg| if is_of_all(&arg) { arg.hide(true) } else { arg });
    alone.build();
    let man = Man::new(alone);
    let description = rendered(|out| man.render_description_section(out))?;
    let options = rendered(|out| man.render_options_section(out))?;
    // The first line is the short help; the rest starts a new paragraph.
    let mut lines = description.lines().skip(1);
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.flat_map(|line| [line, "\n"]).collect();
    let section = format!(".SH IPC\\-DEMO {}\n{first}\n.PP\n{rest}", name.to_uppercase());
    Ok(section + &options.replace(".SH OPTIONS", ".SS Options"))
}

/// Keeps indented lines unchanged, as the help does: they are commands and their output.
fn laid_out(page: &str) -> String {
    let mut lines = Vec::new();
    let mut is_indented = false;
    for line in page.lines() {
        if line.starts_with("  ") != is_indented {
            is_indented = !is_indented;
            lines.push(if is_indented { ".nf" } else { ".fi" });
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

/// Renders a part of a page, without [`PREAMBLE`].
fn rendered(render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut part = Vec::new();
    render(&mut part)?;
    let part = String::from_utf8(part).map_err(io::Error::other)?;
    Ok(part.strip_prefix(PREAMBLE).unwrap_or(&part).to_owned())
}
