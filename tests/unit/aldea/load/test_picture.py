from xml.etree import ElementTree as ET

from aldea.load.picture import picture
from aldea.load.report import document
from tests.unit.aldea.load.test_report import finished, searched


def test_the_picture_is_an_svg_with_its_three_panels_and_the_verdict() -> None:
    root = ET.fromstring(picture(document(finished())))
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"streams at a time", "streams failed", "seconds to words, p95"} <= set(texts)
    assert "The objectives are not kept." in texts


def test_the_saturation_point_is_in_the_picture() -> None:
    assert "Saturation point: 4 streams; 8 fail by: close 1011" in picture(document(searched()))


def test_an_address_cannot_draw_anything_and_nothing_measured_is_drawn_as_nothing() -> None:
    report = document(finished())
    report["url"] = "http://<script>&\"'"
    report["course"] = []
    ET.fromstring(picture(report))


def test_where_nothing_was_measured_the_line_has_a_gap() -> None:
    report = document(finished())
    window = report["course"][0]
    report["course"] = [{**window, "at": at, "final_lag_p95": lag} for at, lag in ((0, 1.0), (2, None), (4, 2.0))]
    assert picture(report).count('fill="none" stroke="#b45309"') == 2
