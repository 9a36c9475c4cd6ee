//! Zones as log lines and `logtimezone` name them: fixed offsets from UTC, never a place.

use super::DateError;
use super::parse::digit;

/// Seconds east of UTC.
pub type Offset = i32;

/// Abbreviations, by their offset in minutes. Each has one meaning here (`IST` has three, so none).
const ABBREVIATIONS: [(i32, &str); 38] = [
    (-720, "Y"),
    (-660, "X NUT SST"),
    (-600, "W CKT HAST HST TAHT TKT"),
    (-570, "MART MIT"),
    (-540, "V AKST GAMT GIT HADT HNY"),
    (-480, "U AKDT CIST HAY HNP PST PT"),
    (-420, "T HAP HNR MST PDT"),
    (-360, "S CST EAST GALT HAR HNC MDT"),
    (-300, "R CDT COT EASST ECT EST ET HAC HNE PET"),
    (-270, "HLV VET"),
    (-240, "Q AST BOT CLT COST EDT FKT GYT HAE HNA PYT"),
    (-210, "HNT NST NT"),
    (-180, "P ADT ART BRT CLST FKST GFT HAA PMST PYST SRT UYT WGT"),
    (-150, "HAT NDT"),
    (-120, "O BRST FNT PMDT UYST WGST"),
    (-60, "N AZOT CVT EGT"),
    (0, "Z EGST GMT UTC WET WT"),
    (60, "A CET DFT WAT WEDT WEST"),
    (120, "B CAT CEDT CEST EET SAST WAST"),
    (180, "C EAT EEDT EEST IDT MSK"),
    (210, "IRST"),
    (240, "D AMT AZT GET GST KUYT MSD MUT RET SAMT SCT"),
    (270, "AFT IRDT"),
    (300, "E AMST AQTT AZST HMT MAWT MVT PKT TFT TJT TMT UZT YEKT"),
    (330, "SLT"),
    (345, "NPT"),
    (360, "F ALMT BIOT BTT IOT KGT NOVT OMST YEKST"),
    (390, "CCT MMT"),
    (420, "G CXT DAVT HOVT ICT KRAT NOVST OMSST THA WIB"),
    (480, "H ACT AWST BDT BNT CAST HKT IRKT KRAST MYT PHT SGT ULAT WITA WST"),
    (540, "I AWDT IRKST JST KST PWT TLT WDT WIT YAKT"),
    (570, "ACST"),
    (600, "K AEST ChST PGT VLAT YAKST YAPT"),
    (630, "ACDT LHST"),
    (660, "L AEDT LHDT MAGT NCT PONT SBT VLAST VUT"),
    (690, "NFT"),
    (720, "M ANAST ANAT FJT GILT MAGST MHT NZST PETST PETT TVT WFT"),
    (780, "FJST NZDT"),
];

/// Reads a `logtimezone`: `UTC+0200`, `-0530`, `+05:30`, `CET`, a military letter.
///
/// # Errors
/// [`DateError::Zone`], in Fail2ban's words, for everything else; places like `Europe/Paris` too, since Fail2ban 1.0.2
/// knows no rules for them.
pub fn parse_logtimezone(text: &str) -> Result<Offset, DateError> {
    // An hour from 20 on is none here, though it is in a log line.
    let hours = text.find(['+', '-']).map(|sign| &text[sign + 1..]);
    let known = hours.is_none_or(|hours| hours.starts_with(['0', '1']));
    known.then(|| offset(text)).flatten().ok_or_else(|| DateError::Zone(text.to_owned()))
}

/// The offset of `Z`, `CET`, `+0200`, `+02:00`, `+02`, `UTC+0200`. Letters count by their case.
pub(crate) fn offset(text: &str) -> Option<Offset> {
    let Some(sign) = text.find(['+', '-']) else { return abbreviation(text) };
    let (name, signed) = text.split_at(sign);
    let base = if name.is_empty() { 0 } else { abbreviation(name)? };
    // Digits of any script, as in the other fields.
    let mut digits = [0; 4];
    let mut count = 0;
    for (at, c) in signed.chars().skip(1).enumerate() {
        if at == 2 && c == ':' {
            continue;
        }
        *digits.get_mut(count)? = digit(c)?;
        count += 1;
    }
    let [a, b, c, d] = digits;
    if !matches!(count, 2 | 4) {
        return None;
    }
    let seconds = (a * 10 + b) * 3600 + (c * 10 + d) * 60;
    Some(base + if signed.starts_with('-') { -seconds } else { seconds })
}

fn abbreviation(name: &str) -> Option<Offset> {
    ABBREVIATIONS
        .iter()
        .find(|(_, names)| names.split(' ').any(|known| known == name))
        .map(|(minutes, _)| minutes * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_abbreviations_add_up() {
        assert_eq!(offset("CEST+0100"), Some(3 * 3600));
        assert_eq!(offset("-0530"), Some(-19_800));
        assert_eq!(offset("+05:30"), Some(19_800));
        assert_eq!(offset("+02"), Some(7200));
        assert_eq!(offset("+02:0٣"), Some(7380));
        assert_eq!(offset("NPT"), Some(20_700));
        for unknown in ["IST", "XXX", "cet", "+2", "", "+020", "+02:0"] {
            assert_eq!(offset(unknown), None, "{unknown}");
        }
    }
}
