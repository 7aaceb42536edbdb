package main

import (
	"encoding/csv"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plotExpiry draws the latency of every call around an expiry.
func plotExpiry(dir, file string) error {
	p := plot.New()
	p.Title.Text = "Every call around an expiry; the token endpoint takes 200 ms"
	p.X.Label.Text = "s since the token was got"
	p.Y.Label.Text = "ms until the caller had a token"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	p.Y.Min, p.Y.Max = 1e-5, 1e3
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for _, series := range []struct {
		name, file string
		shape      draw.GlyphDrawer
		color      color.Color
	}{
		{"x/oauth2 ReuseTokenSource", "oauth2", draw.PyramidGlyph{}, color.RGBA{R: 0xd5, G: 0x5e, A: 0xff}},
		{"aws CredentialsCache", "aws", draw.BoxGlyph{}, color.RGBA{R: 0xe6, G: 0x9f, A: 0xff}},
		{"maskinporten", "maskinporten", draw.CircleGlyph{}, color.RGBA{G: 0x72, B: 0xb2, A: 0xff}},
	} {
		points, err := latencies(filepath.Join(dir, "expiry-"+series.file+".csv"))
		if err != nil {
			return err
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: series.color, Radius: vg.Points(1.5), Shape: series.shape}
		p.Add(scatter)
		p.Legend.Add(series.name, scatter)
	}
	canvas := vgsvg.New(9*vg.Inch, 5*vg.Inch)
	p.Draw(draw.New(canvas))
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(out); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// latencies reads when calls began and how long they took, in nanoseconds.
func latencies(file string) (plotter.XYs, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	points := make(plotter.XYs, 0, len(rows))
	for _, row := range rows {
		at, err := strconv.ParseFloat(row[0], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		took, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		points = append(points, plotter.XY{X: at / 1e9, Y: max(took, 10) / 1e6})
	}
	return points, nil
}
