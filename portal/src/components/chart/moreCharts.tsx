/** The plot with every kind of chart that queries ask for. */

import { LineChart, ScatterChart } from "echarts/charts";
import { TitleComponent } from "echarts/components";
import { use } from "echarts/core";

use([LineChart, ScatterChart, TitleComponent]);

export { default } from "./Chart";
