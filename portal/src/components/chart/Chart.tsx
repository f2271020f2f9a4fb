/**
 * A plot by ECharts, in the colours of the theme, that follows the size of its place. It knows bars and pies, which the
 * overview shows; {@link ./moreCharts} teaches it what queries ask for.
 */

import { BarChart, PieChart } from "echarts/charts";
import { GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import { init, use, type EChartsCoreOption } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { useEffect, useRef } from "react";
import { usePreferences } from "../../app/preferences";

use([BarChart, PieChart, GridComponent, LegendComponent, TooltipComponent, SVGRenderer]);

/** What was clicked: the series, the name or time on the axis, and the value. */
export interface Clicked {
  series: string;
  name: string;
  value: unknown;
}

interface ChartProps {
  option: EChartsCoreOption;
  /** What the plot says, for those who do not see it. */
  label: string;
  height?: number | string;
  onClick?: (clicked: Clicked) => void;
}

export default function Chart({ option, label, height = 260, onClick }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const clicked = useRef(onClick);
  clicked.current = onClick;
  const { isDark } = usePreferences();
  useEffect(() => {
    if (!place.current) return;
    const chart = init(place.current, isDark ? "dark" : undefined, { renderer: "svg" });
    chart.setOption({ backgroundColor: "transparent", animation: false, textStyle: { fontFamily: "inherit" }, ...option });
    chart.on("click", (event) => clicked.current?.({ series: event.seriesName ?? "", name: String(event.name), value: event.value }));
    const observer = new ResizeObserver(() => chart.resize());
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      chart.dispose();
    };
  }, [option, isDark]);
  return <div ref={place} role="img" aria-label={label} style={{ height, width: "100%" }} />;
}
