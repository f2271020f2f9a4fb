//! Conversion between units of measure. A value passes by the base unit of its quantity, of which a unit is so many.
//!
//! The factors are those of UnitsNet 4, which the original converts with; some, such as the mile, are rounded there.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;

type Units = &'static [(&'static str, f64)];

fn convert(
    args: &Args,
    to_base: impl Fn(&str, f64) -> Option<f64>,
    from_base: impl Fn(&str, f64) -> Option<f64>,
) -> Result<ArrayRef> {
    let (values, sources, targets) = (args.reals(0), args.strings(1), args.strings(2));
    Ok(args.make_reals(|i| {
        let (value, source, target) = (values.get(i)?, sources.get(i)?, targets.get(i)?);
        // A value stays what it is, to the last bit, in its own unit.
        let base = to_base(source, value)?;
        let found = from_base(target, base)?;
        Some(if source == target { value } else { found })
    }))
}

fn factor(units: Units, name: &str) -> Option<f64> {
    units.iter().find(|(known, _)| *known == name).map(|(_, factor)| *factor)
}

fn by_factors(args: &Args, units: Units) -> Result<ArrayRef> {
    convert(args, |unit, x| Some(x * factor(units, unit)?), |unit, x| Some(x / factor(units, unit)?))
}

const DEGREES_OF_RADIAN: f64 = 180.0 / std::f64::consts::PI;

/// In degrees.
const ANGLE: Units = &[
    ("Degree", 1.0),
    ("Arcminute", 1.0 / 60.0),
    ("Arcsecond", 1.0 / 3600.0),
    ("Gradian", 0.9),
    ("Microdegree", 1e-6),
    ("Millidegree", 1e-3),
    ("Nanodegree", 1e-9),
    ("NatoMil", 9.0 / 160.0),
    ("Revolution", 360.0),
    ("Radian", DEGREES_OF_RADIAN),
    ("Deciradian", DEGREES_OF_RADIAN * 1e-1),
    ("Centiradian", DEGREES_OF_RADIAN * 1e-2),
    ("Milliradian", DEGREES_OF_RADIAN * 1e-3),
    ("Microradian", DEGREES_OF_RADIAN * 1e-6),
    ("Nanoradian", DEGREES_OF_RADIAN * 1e-9),
];

/// In joules.
const ENERGY: Units = &[
    ("Joule", 1.0),
    ("Millijoule", 1e-3),
    ("Kilojoule", 1e3),
    ("Megajoule", 1e6),
    ("Gigajoule", 1e9),
    ("Calorie", 4.184),
    ("Kilocalorie", 4.184e3),
    ("Megacalorie", 4.184e6),
    ("BritishThermalUnit", 1_055.055_852_62),
    ("KilobritishThermalUnit", 1_055.055_852_62e3),
    ("MegabritishThermalUnit", 1_055.055_852_62e6),
    ("GigabritishThermalUnit", 1_055.055_852_62e9),
    ("ElectronVolt", 1.602_176_565e-19),
    ("KiloelectronVolt", 1.602_176_565e-16),
    ("MegaelectronVolt", 1.602_176_565e-13),
    ("GigaelectronVolt", 1.602_176_565e-10),
    ("TeraelectronVolt", 1.602_176_565e-7),
    ("FootPound", 1.355_817_948),
    ("Erg", 1e-7),
    ("WattHour", 3600.0),
    ("KilowattHour", 3600e3),
    ("MegawattHour", 3600e6),
    ("GigawattHour", 3600e9),
    ("TerawattHour", 3600e12),
    ("WattDay", 86_400.0),
    ("KilowattDay", 86_400e3),
    ("MegawattDay", 86_400e6),
    ("GigawattDay", 86_400e9),
    ("TerawattDay", 86_400e12),
    ("ThermEc", 1.055_055_852_62e8),
    ("ThermUs", 1.054_804e8),
    ("ThermImperial", 1.055_055_852_573_48e8),
    ("DecathermEc", 1.055_055_852_62e9),
    ("DecathermUs", 1.054_804e9),
    ("DecathermImperial", 1.055_055_852_573_48e9),
    ("HorsepowerHour", 2.684_519_537_7e6),
];

/// In newtons.
const FORCE: Units = &[
    ("Newton", 1.0),
    ("Micronewton", 1e-6),
    ("Millinewton", 1e-3),
    ("Decanewton", 10.0),
    ("Kilonewton", 1e3),
    ("Meganewton", 1e6),
    ("Dyn", 1e-5),
    ("KilogramForce", 9.806_650_028_64),
    ("KiloPond", 9.806_650_028_64),
    ("TonneForce", 9_806.650_028_64),
    ("Poundal", 0.138_255_027_989_730_4),
    ("PoundForce", 4.448_221_615_260_51),
    ("KilopoundForce", 4.448_221_615_260_51e3),
    ("OunceForce", 0.278_013_850_953_781_2),
    ("ShortTonForce", 8_896.443_230_521),
];

/// In meters.
const LENGTH: Units = &[
    ("Meter", 1.0),
    ("Nanometer", 1e-9),
    ("Micrometer", 1e-6),
    ("Millimeter", 1e-3),
    ("Centimeter", 1e-2),
    ("Decimeter", 1e-1),
    ("Decameter", 10.0),
    ("Hectometer", 100.0),
    ("Kilometer", 1e3),
    ("Angstrom", 1e-10),
    ("Inch", 0.0254),
    ("Foot", 0.3048),
    ("Yard", 0.9144),
    ("Mile", 1609.34),
    ("Mil", 2.54e-5),
    ("Microinch", 2.54e-8),
    ("Hand", 0.1016),
    ("Chain", 20.1168),
    ("Fathom", 1.8288),
    ("Shackle", 27.432),
    ("NauticalMile", 1852.0),
    ("DataMile", 1828.8),
    ("UsSurveyFoot", 1200.0 / 3937.0),
    ("PrinterPoint", 0.0254 / 72.27),
    ("DtpPoint", 0.0254 / 72.0),
    ("PrinterPica", 1.0 / 237.106_301_584),
    ("DtpPica", 1.0 / 236.220_472_441),
    ("Twip", 1.0 / 56_692.913_385_826),
    ("AstronomicalUnit", 1.495_978_707_0e11),
    ("Parsec", 3.085_677_581_28e16),
    ("Kiloparsec", 3.085_677_581_28e19),
    ("Megaparsec", 3.085_677_581_28e22),
    ("LightYear", 9.460_730_472_58e15),
    ("KilolightYear", 9.460_730_472_58e18),
    ("MegalightYear", 9.460_730_472_58e21),
    ("SolarRadius", 6.9551e8),
];

/// In kilograms.
const MASS: Units = &[
    ("Kilogram", 1.0),
    ("Nanogram", 1e-12),
    ("Microgram", 1e-9),
    ("Milligram", 1e-6),
    ("Centigram", 1e-5),
    ("Decigram", 1e-4),
    ("Gram", 1e-3),
    ("Decagram", 1e-2),
    ("Hectogram", 0.1),
    ("Tonne", 1e3),
    ("Kilotonne", 1e6),
    ("Megatonne", 1e9),
    ("Pound", 0.453_592_37),
    ("Kilopound", 453.592_37),
    ("Megapound", 453_592.37),
    ("Ounce", 0.028_349_523_125),
    ("Grain", 1.0 / 15_432.358_352_941_431),
    ("Stone", 1.0 / 0.157_473_172_870_269_8),
    ("Slug", 1.0 / 6.852_176_556_196_105e-2),
    ("ShortHundredweight", 1.0 / 0.022_046_226_218_487_758),
    ("LongHundredweight", 1.0 / 0.019_684_130_552_221_2),
    ("ShortTon", 907.184_74),
    ("LongTon", 1_016.046_908_8),
    ("EarthMass", 5.9722e24),
    ("SolarMass", 1.98947e30),
];

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

/// In meters per second.
const SPEED: Units = &[
    ("MeterPerSecond", 1.0),
    ("MeterPerMinute", 1.0 / MINUTE),
    ("MeterPerHour", 1.0 / HOUR),
    ("CentimeterPerSecond", 1e-2),
    ("CentimeterPerMinute", 1e-2 / MINUTE),
    ("CentimeterPerHour", 1e-2 / HOUR),
    ("KilometerPerSecond", 1e3),
    ("KilometerPerMinute", 1e3 / MINUTE),
    ("KilometerPerHour", 1e3 / HOUR),
    ("MillimeterPerSecond", 1e-3),
    ("MillimeterPerMinute", 1e-3 / MINUTE),
    ("MillimeterPerHour", 1e-3 / HOUR),
    ("FootPerSecond", 0.3048),
    ("FootPerMinute", 0.3048 / MINUTE),
    ("FootPerHour", 0.3048 / HOUR),
    ("InchPerSecond", 0.0254),
    ("InchPerMinute", 0.0254 / MINUTE),
    ("InchPerHour", 0.0254 / HOUR),
    ("UsSurveyFootPerSecond", 1200.0 / 3937.0),
    ("UsSurveyFootPerMinute", 1200.0 / 3937.0 / MINUTE),
    ("UsSurveyFootPerHour", 1200.0 / 3937.0 / HOUR),
    ("YardPerSecond", 0.9144),
    ("YardPerMinute", 0.9144 / MINUTE),
    ("YardPerHour", 0.9144 / HOUR),
    ("DecimeterPerSecond", 1e-1),
    ("DecimeterPerMinute", 1e-1 / MINUTE),
    ("MicrometerPerSecond", 1e-6),
    ("MicrometerPerMinute", 1e-6 / MINUTE),
    ("NanometerPerSecond", 1e-9),
    ("NanometerPerMinute", 1e-9 / MINUTE),
    ("Knot", 0.514_444),
    ("MilePerHour", 0.447_04),
];

/// In cubic meters.
const VOLUME: Units = &[
    ("CubicMeter", 1.0),
    ("CubicKilometer", 1e9),
    ("CubicHectometer", 1e6),
    ("CubicDecimeter", 1e-3),
    ("CubicCentimeter", 1e-6),
    ("CubicMillimeter", 1e-9),
    ("CubicMicrometer", 1e-18),
    ("HectocubicMeter", 100.0),
    ("KilocubicMeter", 1000.0),
    ("Liter", 1e-3),
    ("Microliter", 1e-9),
    ("Milliliter", 1e-6),
    ("Centiliter", 1e-5),
    ("Deciliter", 1e-4),
    ("Decaliter", 1e-2),
    ("Hectoliter", 1e-1),
    ("Kiloliter", 1.0),
    ("Megaliter", 1e3),
    ("CubicMile", 4.168_181_825_440_58e9),
    ("CubicYard", 0.764_554_858),
    ("CubicFoot", 0.028_316_846_592),
    ("HectocubicFoot", 2.831_684_659_2),
    ("KilocubicFoot", 28.316_846_592),
    ("MegacubicFoot", 28_316.846_592),
    ("CubicInch", 1.6387e-5),
    ("AcreFoot", 1.0 / 0.000_810_714),
    ("BoardFoot", 2.359_737_215_8e-3),
    ("ImperialGallon", 0.004_546_090_000_001_814),
    ("KiloimperialGallon", 4.546_090_000_001_814),
    ("MegaimperialGallon", 4_546.090_000_001_814),
    ("ImperialOunce", 2.841_306_249_996_25e-5),
    ("ImperialPint", 5.682_612_5e-4),
    ("ImperialBeerBarrel", 0.163_659_24),
    ("UsGallon", 0.003_785_41),
    ("DecausGallon", 0.037_854_1),
    ("DeciusGallon", 0.000_378_541),
    ("HectousGallon", 0.378_541),
    ("KilousGallon", 3.785_41),
    ("MegausGallon", 3785.41),
    ("UsOunce", 2.957_352_956_253_760_7e-5),
    ("UsPint", 4.731_764_73e-4),
    ("UsQuart", 9.463_529_46e-4),
    ("UsBeerBarrel", 0.117_347_765_8),
    ("UsCustomaryCup", 0.000_236_588_236_5),
    ("UsLegalCup", 0.000_24),
    ("UsTablespoon", 1.478_676_478_125e-5),
    ("UsTeaspoon", 4.928_921_593_75e-6),
    ("AuTablespoon", 2e-5),
    ("UkTablespoon", 1.5e-5),
    ("MetricCup", 2.5e-4),
    ("MetricTeaspoon", 5e-6),
    ("OilBarrel", 0.158_987_294_928),
];

/// A tilt is the sine of an angle.
pub static CONVERT_ANGLE: Kernel = Kernel::new("kql_convert_angle", Type::Real, |args| {
    convert(
        args,
        |unit, x| if unit == "Tilt" { Some(x.asin().to_degrees()) } else { Some(x * factor(ANGLE, unit)?) },
        |unit, x| if unit == "Tilt" { Some(x.to_radians().sin()) } else { Some(x / factor(ANGLE, unit)?) },
    )
});

pub static CONVERT_ENERGY: Kernel = Kernel::new("kql_convert_energy", Type::Real, |args| by_factors(args, ENERGY));
pub static CONVERT_FORCE: Kernel = Kernel::new("kql_convert_force", Type::Real, |args| by_factors(args, FORCE));
pub static CONVERT_LENGTH: Kernel = Kernel::new("kql_convert_length", Type::Real, |args| by_factors(args, LENGTH));
pub static CONVERT_MASS: Kernel = Kernel::new("kql_convert_mass", Type::Real, |args| by_factors(args, MASS));
pub static CONVERT_SPEED: Kernel = Kernel::new("kql_convert_speed", Type::Real, |args| by_factors(args, SPEED));
pub static CONVERT_VOLUME: Kernel = Kernel::new("kql_convert_volume", Type::Real, |args| by_factors(args, VOLUME));

/// The zero of Celsius in kelvins.
const ZERO_CELSIUS: f64 = 273.15;
const SOLAR_KELVINS: f64 = 5778.0;

pub static CONVERT_TEMPERATURE: Kernel = Kernel::new("kql_convert_temperature", Type::Real, |args| {
    let to_kelvin = |unit: &str, x: f64| {
        Some(match unit {
            "Kelvin" => x,
            "DegreeCelsius" => x + ZERO_CELSIUS,
            "MillidegreeCelsius" => x / 1000.0 + ZERO_CELSIUS,
            "DegreeDelisle" => x * -2.0 / 3.0 + 373.15,
            "DegreeFahrenheit" => x * 5.0 / 9.0 + 459.67 * 5.0 / 9.0,
            "DegreeNewton" => x * 100.0 / 33.0 + ZERO_CELSIUS,
            "DegreeRankine" => x * 5.0 / 9.0,
            "DegreeReaumur" => x * 5.0 / 4.0 + ZERO_CELSIUS,
            "DegreeRoemer" => x * 40.0 / 21.0 + ZERO_CELSIUS - 7.5 * 40.0 / 21.0,
            "SolarTemperature" => x * SOLAR_KELVINS,
            _ => return None,
        })
    };
    let from_kelvin = |unit: &str, x: f64| {
        Some(match unit {
            "Kelvin" => x,
            "DegreeCelsius" => x - ZERO_CELSIUS,
            "MillidegreeCelsius" => (x - ZERO_CELSIUS) * 1000.0,
            "DegreeDelisle" => (x - 373.15) * -3.0 / 2.0,
            "DegreeFahrenheit" => (x - 459.67 * 5.0 / 9.0) * 9.0 / 5.0,
            "DegreeNewton" => (x - ZERO_CELSIUS) * 33.0 / 100.0,
            "DegreeRankine" => x * 9.0 / 5.0,
            "DegreeReaumur" => (x - ZERO_CELSIUS) * 4.0 / 5.0,
            "DegreeRoemer" => (x - (ZERO_CELSIUS - 7.5 * 40.0 / 21.0)) * 21.0 / 40.0,
            "SolarTemperature" => x / SOLAR_KELVINS,
            _ => return None,
        })
    };
    convert(args, to_kelvin, from_kelvin)
});
