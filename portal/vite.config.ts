import react from "@vitejs/plugin-react";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The server that answers what the development server does not; `npm run dev` is told another by TURNSTONE_URL.
const server = process.env.TURNSTONE_URL ?? "http://127.0.0.1:8080";

/** Leaves each file compressed beside itself, as the program embeds it. */
function compressed(): Plugin {
  const files = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? files(path) : [path];
    });
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir = "dist" }) {
      for (const path of files(dir).filter((path) => !/\.(br|gz)$/.test(path))) {
        const content = readFileSync(path);
        // The very large files take minutes at the last level, for little.
        const quality = content.length > 1_000_000 ? 9 : 11;
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } }));
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "/ui/",
  plugins: [react(), compressed()],
  build: {
    target: "es2022",
    // The program compresses what it embeds, and the language service is large whatever is done.
    reportCompressedSize: false,
    chunkSizeWarningLimit: 6000,
    // Small files stay files: `img-src` and `font-src` of the page name this server alone.
    assetsInlineLimit: 0,
  },
  worker: { format: "es" },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/v1", "/v2", "/subscriptions", "/providers"].map((path) => [path, { target: server, changeOrigin: false }]),
    ),
  },
  test: { include: ["src/**/*.test.ts"] },
});
